import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';

const FOLDER = join(import.meta.dirname, 'lua');
const INCLUDE = /^--@include (\w+)$/gm;

/** Reads a script with its includes; each script's header is its contract. */
export function readScript(name: string): string {
  const source = readFileSync(join(FOLDER, `${name}.lua`), 'utf8');
  return source.replace(INCLUDE, (_, include: string) => readFileSync(join(FOLDER, `${include}.include.lua`), 'utf8'));
}

/** A script bound to a connection; calls go by SHA and load it once where Redis does not know it. */
export type Script = (keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

export function defineScript(redis: Redis, name: string): Script {
  const command = `daypass_${name.replaceAll('-', '_')}`;
  redis.defineCommand(command, { lua: readScript(name) });
  const call = (redis as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>)[command]!;
  return (keys, args) => call.call(redis, keys.length, ...keys, ...args);
}
