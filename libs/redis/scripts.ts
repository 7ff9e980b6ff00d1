import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';

/** Each library keeps its own scripts. A script's name is unique over all libraries. */
const FOLDERS = ['redis', 'holds', 'pacing', 'moderation', 'shelf'].map((lib) =>
  join(import.meta.dirname, '..', lib, 'lua'),
);
const INCLUDE = /^--@include ([\w-]+)$/gm;

/** Reads a script with its includes. Its header and the names of its arguments are its contract. */
export function readScript(name: string): string {
  return withIncludes(readLua(name));
}

/** Includes are not nested: a script names all that it uses, and each include comes after those that it needs. */
export function withIncludes(lua: string): string {
  return lua.replace(INCLUDE, (_, include: string) => readLua(`${include}.include`));
}

function readLua(name: string): string {
  const file = FOLDERS.map((folder) => join(folder, `${name}.lua`)).find((candidate) => existsSync(candidate));
  if (file === undefined) throw new Error(`no library has a script called '${name}'`);
  return readFileSync(file, 'utf8');
}

/** A script bound to a connection. ioredis calls it by its SHA, and loads it where Redis does not have it. */
export type Script = (keys: readonly string[], args: readonly ScriptArg[]) => Promise<unknown>;
type ScriptArg = string | number | Buffer;

export function defineScript(redis: Redis, name: string): Script {
  return callOf(redis, name, '');
}

/** The same, where every string of the answer is a buffer, because some of it is encrypted. */
export function defineBinaryScript(redis: Redis, name: string): Script {
  return callOf(redis, name, 'Buffer');
}

function callOf(redis: Redis, name: string, suffix: '' | 'Buffer'): Script {
  const command = `daypass_${name.replaceAll('-', '_')}`;
  redis.defineCommand(command, { lua: readScript(name) });
  const commands = redis as unknown as Record<string, (...args: ScriptArg[]) => Promise<unknown>>;
  return (keys, args) => commands[command + suffix]!.call(redis, keys.length, ...keys, ...args);
}
