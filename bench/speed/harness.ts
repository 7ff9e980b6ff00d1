import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { UpstreamSettings } from './upstream.ts';

export const PRODUCTION = { NODE_ENV: 'production' };

const TEXT =
  'The people of the village gathered around the fountain and listened to the stranger telling about distant mountains. ';
const children: ChildProcess[] = [];

/** A process that prints its port first; it ends with `endAll`. */
export async function serve(
  command: string,
  args: readonly string[],
  env: Record<string, string> = PRODUCTION,
): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  children.push(child);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  child.stdout.once('data', (text: Buffer) => resolve(text.toString().trim()));
  child.once('exit', () => reject(new Error(`${args.join(' ')} has ended`)));
  return promise;
}

export function endAll(): void {
  for (const child of children) child.kill('SIGTERM');
}

/** The upstream that everybody is measured against; its origin. */
export async function startUpstream(): Promise<string> {
  return `http://127.0.0.1:${await serve(process.execPath, [join(import.meta.dirname, 'upstream.ts')])}`;
}

export async function setUpstream(upstream: string, settings: UpstreamSettings): Promise<void> {
  await fetch(`${upstream}/settings`, { method: 'POST', body: JSON.stringify(settings) });
}

/** A load generator of this folder, in a process of its own. */
export async function load<T>(script: 'calls.ts' | 'streams.ts', order: object): Promise<T> {
  const child = spawn(process.execPath, [join(import.meta.dirname, script)], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(order));
  const pieces: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${script} has failed`);
  return JSON.parse(Buffer.concat(pieces).toString()) as T;
}

/** About so many bytes, and another prompt for each call: `[<id>]` is replaced by the load. */
export function bodyOf(bytes: number, stream: boolean): string {
  const content = `[<id>] ${TEXT.repeat(Math.ceil(bytes / TEXT.length)).slice(0, bytes - 150)}`;
  return JSON.stringify({
    model: 'gpt-5.4-mini',
    max_completion_tokens: 400,
    ...(stream ? { stream: true } : {}),
    messages: [{ role: 'user', content }],
  });
}
