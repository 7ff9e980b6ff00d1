// Other gateways, which the bench cannot install by itself: bench/README.md has a recipe for them.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { freePort } from '#libs/launch/free-port.js';
import { bodyOf, MODEL, PRODUCTION, run } from './harness.ts';

const READY_MAX_MS = 120_000;
const LOOK_MS = 500;

const peersSchema = z
  .array(
    z.strictObject({
      name: z.string().min(1).max(40),
      /** One command, which bash runs. It knows the upstream as BENCH_UPSTREAM and its own port as BENCH_PORT. */
      command: z.string().min(1),
      /** Where its chat completions are: `<path>/chat/completions`. */
      path: z.string().startsWith('/').default('/v1'),
      token: z.string().min(1).default('sk-bench'),
      /** Its name for the model. */
      model: z.string().min(1).default(MODEL),
      headers: z.record(z.string(), z.string()).default({}),
    }),
  )
  .max(5);

export type PeerWish = z.infer<typeof peersSchema>[number];

export interface Peer {
  name: string;
  /** With the path. */
  url: string;
  token: string;
  model: string;
  headers: Record<string, string>;
  pid: number;
}

/** @throws an error that says what is wrong with the file */
export function readPeers(file: string): PeerWish[] {
  const { success, data, error } = peersSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!success) throw new Error(`BENCH_PEERS: ${file} is no list of peers:\n${z.prettifyError(error)}`);
  return data;
}

export async function startPeer(wish: PeerWish, upstream: string): Promise<Peer> {
  const { name, command, path, token, model, headers } = wish;
  const port = await freePort();
  const { pid, stdout, failed } = run('bash', ['-c', command], {
    ...PRODUCTION,
    BENCH_UPSTREAM: `${upstream}/v1`,
    BENCH_PORT: String(port),
  });
  stdout.resume();
  const peer = { name, url: `http://127.0.0.1:${port}${path}`, token, model, headers, pid };
  await Promise.race([whenReady(peer), failed]);
  return peer;
}

/** A peer is ready when it answers a call. */
async function whenReady({ name, url, token, model, headers }: Peer): Promise<void> {
  const untilMs = performance.now() + READY_MAX_MS;
  let last = 'nothing';
  while (performance.now() < untilMs) {
    try {
      const answer = await fetch(`${url}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
        body: bodyOf(85, false, model),
      });
      last = `${answer.status} ${(await answer.text()).slice(0, 200)}`;
      if (answer.ok) return;
    } catch (error) {
      last = (error as Error).message;
    }
    await sleep(LOOK_MS);
  }
  throw new Error(`${name} answered no call of ${url} within ${READY_MAX_MS / 1_000} s; the last answer was ${last}`);
}
