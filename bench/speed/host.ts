// A Daypass with empty stores, in a process of its own: the launcher, whose CPU counts, too. `host.ts <upstream>` prints a
// Hosted as JSON, and ends with its standard input or at SIGTERM.
import { startDaypass } from '#libs/testing/daypass.js';
import { PRODUCTION } from './harness.ts';

export interface Hosted {
  url: string;
  redisUrl: string;
  /** Virtual keys: their campaigns judge whole answers, judge streams sentence by sentence, or judge nothing. */
  tokens: Record<'whole' | 'windows' | 'unjudged', string>;
}

/** Those that a key of an event has, so high that they never hold a call up. */
const LIMITS = { rpm: 1_000_000, tpm: 1_000_000_000, concurrent: 100_000, bytes_per_hour: 1_000_000_000_000 };
/** More than a load has at a time. */
const ROOM = { DAYPASS_MAX_CALLS: '5000', DAYPASS_CONCURRENCY: '2000' };
const STOP_MAX_MS = 20_000;

const daypass = await startDaypass({
  upstream: { url: `${process.argv[2]}/v1` },
  durable: true,
  env: { ...PRODUCTION, ...ROOM },
});
let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  setTimeout(() => process.exit(1), STOP_MAX_MS);
  await daypass.stop();
  process.exit(0);
}
process.stdin.resume().once('close', () => void end());
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end());

async function tokenOf(input: string, output: string): Promise<string> {
  const campaign = { budget_usd: '1000000', moderation: { input, output } };
  return (await daypass.createKey({ campaign, key: { budget_usd: '100000', limits: LIMITS } })).key;
}
const tokens = {
  whole: await tokenOf('gate', 'gate'),
  windows: await tokenOf('gate', 'window'),
  unjudged: await tokenOf('off', 'off'),
};
const hosted: Hosted = { url: daypass.baseUrl, redisUrl: daypass.redisUrl, tokens };
process.stdout.write(`${JSON.stringify(hosted)}\n`);
