import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { UpstreamSettings } from './upstream.ts';

export const PRODUCTION = { NODE_ENV: 'production' };
export const MODEL = 'gpt-5.4-mini';

const TEXT =
  'The people of the village gathered around the fountain and listened to the stranger telling about distant mountains. ';
/** Stores have to write what they have. */
const END_MAX_MS = 25_000;
const children: ChildProcess[] = [];

export interface Served {
  pid: number;
  end: () => Promise<void>;
}

/** A process of this bench. It ends with `endAll` at the latest. */
export function run(
  command: string,
  args: readonly string[],
  env: Record<string, string> = PRODUCTION,
): Served & { stdout: Readable; failed: Promise<never> } {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  children.push(child);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${command} ${args.join(' ')} has ended`)));
  });
  failed.catch(() => undefined);
  return { pid: child.pid ?? 0, stdout: child.stdout, failed, end: () => ended(child) };
}

/** The same, which prints where it is, first of all. */
export async function serve(...of: Parameters<typeof run>): Promise<Served & { said: string }> {
  const { pid, stdout, failed, end } = run(...of);
  const first = new Promise<string>((resolve) => createInterface({ input: stdout }).once('line', resolve));
  return { said: (await Promise.race([first, failed])).trim(), pid, end };
}

export async function endAll(): Promise<void> {
  await Promise.all(children.map(ended));
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, 'exit');
  child.stdin?.end();
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), END_MAX_MS);
  await exit;
  clearTimeout(late);
}

/** The upstream that everybody is measured against; its origin. Port 0: any. */
export async function startUpstream(port = 0): Promise<string> {
  const { said } = await serve(process.execPath, [join(import.meta.dirname, 'upstream.ts'), String(port)]);
  return `http://127.0.0.1:${said}`;
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

/** A prompt of about so many bytes, and another one for each call: `[<id>]` is replaced by the load. */
export function bodyOf(bytes: number, stream: boolean, model = MODEL): string {
  const content = `[<id>] ${TEXT.repeat(Math.ceil(bytes / TEXT.length)).slice(0, Math.max(0, bytes - 20))}`;
  return JSON.stringify({
    model,
    max_completion_tokens: 400,
    ...(stream ? { stream: true } : {}),
    messages: [{ role: 'user', content }],
  });
}

/** A chat completion's body as that of a response. */
export function asResponse(chat: string, more: object = {}): string {
  const { messages, max_completion_tokens, ...rest } = JSON.parse(chat) as {
    messages: { content: string }[];
    max_completion_tokens: number;
  };
  return JSON.stringify({ ...rest, max_output_tokens: max_completion_tokens, input: messages[0]!.content, ...more });
}
