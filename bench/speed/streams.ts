// Open streams, in a process of their own. Reads a CallsOrder as JSON, keeps that many streams open, and prints a StreamsResult. No load
// generator measures the time between a stream's chunks.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import type { CallsOrder } from './calls.ts';

export interface StreamsResult {
  ended: number;
  /** Without its end, or not a 200. */
  broken: number;
  seconds: number;
  firstP50Ms: number;
  firstP99Ms: number;
  gapP50Ms: number;
  gapP99Ms: number;
}

const BUCKETS_A_MS = 10;
const BUCKETS = 60_000 * BUCKETS_A_MS;

class Histogram {
  private readonly counts = new Uint32Array(BUCKETS);
  private total = 0;

  add(ms: number): void {
    const bucket = Math.min(BUCKETS - 1, Math.floor(ms * BUCKETS_A_MS));
    this.counts[bucket] = this.counts[bucket]! + 1;
    this.total++;
  }

  at(share: number): number {
    let left = share * this.total;
    const bucket = this.counts.findIndex((count) => (left -= count) <= 0);
    return Math.max(0, bucket) / BUCKETS_A_MS;
  }
}

const order = JSON.parse(readFileSync(0, 'utf8')) as CallsOrder;
const url = new URL(order.url);
const agent = new Agent({ keepAlive: true, maxSockets: order.atOnce });
const first = new Histogram();
const gaps = new Histogram();
const FRAME = Buffer.from('data: ');
let [ended, broken, made] = [0, 0, 0];

/** One stream to its end; whether it was whole. */
function open(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const turn = made++ % order.tokens.length;
  const body = (order.bodies?.[turn] ?? order.body).replace('[<id>]', `w${process.pid}x${made}`);
  const begun = performance.now();
  let before = 0;
  let tail = '';
  let whole = false;
  const asked = request(
    url,
    {
      method: 'POST',
      agent,
      headers: {
        ...order.headers,
        authorization: `Bearer ${order.tokens[turn]!}`,
        'content-length': Buffer.byteLength(body),
      },
    },
    (response) => {
      response.on('data', (piece: Buffer) => {
        const now = performance.now();
        // For a reader, frames that come together have no gap between them.
        for (let from = piece.indexOf(FRAME); from >= 0; from = piece.indexOf(FRAME, from + 1)) {
          if (before === 0) first.add(now - begun);
          else gaps.add(now - before);
          before = now;
        }
        const end = `${tail}${piece.toString('latin1')}`;
        whole ||= end.includes(order.end ?? '[DONE]');
        tail = end.slice(-32);
      });
      response.on('close', () => resolve(response.statusCode === 200 && whole));
    },
  );
  asked.on('error', () => resolve(false));
  asked.end(body);
  return promise;
}

async function keep(untilMs: number): Promise<void> {
  while (performance.now() < untilMs) {
    if (await open()) ended++;
    else broken++;
  }
}

const begun = performance.now();
await Promise.all(Array.from({ length: order.atOnce }, () => keep(begun + order.seconds * 1_000)));
agent.destroy();
const result: StreamsResult = {
  ended,
  broken,
  seconds: (performance.now() - begun) / 1_000,
  firstP50Ms: first.at(0.5),
  firstP99Ms: first.at(0.99),
  gapP50Ms: gaps.at(0.5),
  gapP99Ms: gaps.at(0.99),
};
process.stdout.write(JSON.stringify(result));
