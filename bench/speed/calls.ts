// Calls by autocannon, in a process of their own: reads a CallsOrder as JSON and prints a CallsResult. Times are taken from its
// events, because its own histogram knows whole milliseconds only.
import { readFileSync } from 'node:fs';
import autocannon from 'autocannon';

export interface CallsOrder {
  url: string;
  headers: Record<string, string>;
  /** Keys, in turn. */
  tokens: readonly string[];
  /** `[<id>]` in it is another word for each call. */
  body: string;
  /** A body for each key; absent: the same for all. */
  bodies?: readonly string[];
  /** Calls at a time. */
  atOnce: number;
  seconds: number;
  /** The load ends after so many calls instead of after its seconds. At least as many as at a time. */
  amount?: number;
  /** What the end of a whole stream has. Absent: `[DONE]`. */
  end?: string;
}

export interface CallsResult {
  answered: number;
  /** Answers that are not 2xx, broken connections, time-outs. */
  failed: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
}

const order = JSON.parse(readFileSync(0, 'utf8')) as CallsOrder;
const times: number[] = [];
let failed = 0;
let lastMs = 0;
let made = 0;
const begun = performance.now();
const { promise: done, resolve, reject } = Promise.withResolvers<void>();
const run = autocannon(
  {
    url: order.url,
    method: 'POST',
    requests: order.tokens.map((token, index) => {
      const headers = { ...order.headers, authorization: `Bearer ${token}` };
      const body = order.bodies?.[index] ?? order.body;
      return {
        headers,
        body,
        setupRequest: (request) => ({ ...request, body: body.replace('[<id>]', `w${process.pid}x${made++}`) }),
      };
    }),
    connections: order.atOnce,
    ...(order.amount === undefined ? { duration: order.seconds } : { amount: order.amount }),
    timeout: 60,
  },
  (error: unknown) => (error ? reject(error as Error) : resolve()),
);
run.on('response', (_client, status, _bytes, milliseconds) => {
  lastMs = performance.now();
  if (status < 300) times.push(milliseconds);
  else failed++;
});
run.on('reqError', () => failed++);
await done;
// autocannon itself ends with a whole second.
const seconds = (Math.max(lastMs, begun) - begun) / 1_000;
times.sort((a, b) => a - b);
const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0;
process.stdout.write(
  JSON.stringify({ answered: times.length, failed, seconds, p50Ms: at(0.5), p99Ms: at(0.99) } satisfies CallsResult),
);
