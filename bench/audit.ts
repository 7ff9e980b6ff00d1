// `npm run bench:audit`: what the record costs: a hold with and without it, how fast accounting books it, and how long its proof takes.
// Its stores run as in production. It writes its section of bench/README.md.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { CheckEvent, RequestEvent } from '#libs/contracts/audit.js';
import { Door } from '#libs/holds/door.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { ADMIN_TOKEN, requestId, startAccounting, tell } from '#libs/testing/bench-accounting.js';
import { BenchSection } from '#libs/testing/bench-page.js';

const HOLDS = 10_000;
/** Each call makes four rows: its request, a check of the input, and two checks of the output. */
const CALLS = 25_000;
const AT_ONCE = 64;
const QUESTION = {
  model: 'gpt-5.4-mini',
  messages: [{ role: 'user', content: 'A question of about a hundred words, as people ask them. '.repeat(10) }],
};
const ANSWER = [
  { kind: 'text', text: 'A piece of an answer, of about two hundred tokens, as it is judged. '.repeat(12) },
];
const policy = { input: 'gate', output: 'window', thresholds: { violence: 0.6 }, onUnavailable: 'closed' } as const;

const section = new BenchSection('audit');
const row = section.table('', 'measured');
const { stores, config, launch } = await startAccounting();
const redis = new Redis(stores.redisUrl);
const holds = new HoldStore(redis);
const recorder = new EventRecorder(redis);
const box = new ContentBox(config.secrets.contentKey);
const percentile = (sorted: readonly number[], share: number): string =>
  sorted[Math.floor(sorted.length * share)]!.toFixed(2);

let app = await launch();
const admin = async (path: string, body?: object) => {
  const response = await fetch(`${await app.getUrl()}/admin/v1/${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return (await response.json()) as Record<string, string> & { ok?: boolean; checked?: { rows: number } };
};
while (!(await new Door(redis).isOpen())) await sleep(50);
const campaign = await admin('campaigns', {
  slug: 'bench',
  name: 'bench',
  budget_usd: '1000000',
  models: ['gpt-5.4-mini'],
});
const keys = await Promise.all(Array.from({ length: 100 }, () => admin('keys', { campaign: 'bench' })));
const keyOf = (index: number): string => keys[index % keys.length]!.id!;
const asked = (id: string, key: string): RequestEvent => ({
  kind: 'request',
  id,
  key,
  campaign: campaign.id!,
  model: 'gpt-5.4-mini',
  stream: true,
  policy,
});
const judged = (request: string, key: string, direction: 'input' | 'output'): CheckEvent => ({
  kind: 'check',
  id: `chk_${randomBytes(12).toString('hex')}`,
  request,
  key,
  campaign: campaign.id!,
  direction,
  guard: 'moderation',
  model: 'omni-moderation-2024-09-26',
  decision: 'pass',
  categories: [],
  scores: Object.fromEntries(Array.from({ length: 13 }, (_, index) => [`category-${index}`, Math.random() / 100])),
  reason: null,
  latency_ms: 120,
  policy,
});

for (const recorded of [false, true]) {
  const times: number[] = [];
  for (let n = 0; n < HOLDS; n++) {
    const [id, keyId] = [requestId(), keyOf(n)];
    const body = box.seal(JSON.stringify(QUESTION), id);
    const begun = performance.now();
    const terms = {
      fixedNano: 1_000n,
      perUnitNano: 0n,
      capTokens: 1,
      leastCapTokens: 1,
      inputTokens: 1,
      outputs: 1,
      maxWaitMs: 1_000,
      detail: '{}',
    };
    await holds.take(
      {
        requestId: id,
        keyId,
        campaignId: campaign.id!,
        ...terms,
        lane: 'lane',
        replyTo: 'bench',
        body: { encrypted: body, lifeMs: 60_000 },
        ...(recorded ? { recorded: asked(id, keyId) } : {}),
      },
      {
        journalEntries: 1e9,
        auditBytes: 1e12,
        auditBytesOfKey: 1e12,
        keyBytesPerHour: 0,
        operatorDayNano: undefined,
        operatorTotalNano: undefined,
        patient: false,
      },
    );
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  row(
    `a hold and its body, ${recorded ? 'with' : 'without'} the record, one at a time, p50 / p99`,
    `${percentile(times, 0.5)} / ${percentile(times, 0.99)} ms`,
  );
}

const drained = async (): Promise<void> => {
  while ((await redis.xlen(redisKeys.audit)) > 0) await sleep(20);
};
await drained();
await app.close();
for (let done = 0; done < CALLS; done += AT_ONCE) {
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, index) => {
      const [id, key] = [requestId(), keyOf(done + index)];
      await recorder.record(asked(id, key), box.seal(JSON.stringify(QUESTION), id));
      await recorder.record(judged(id, key, 'input'));
      for (let piece = 0; piece < 2; piece++)
        await recorder.record(judged(id, key, 'output'), box.seal(JSON.stringify(ANSWER), id));
    }),
  );
}
const waiting = await redis.xlen(redisKeys.audit);
tell(
  `${waiting} requests and checks wait in Redis`,
  `${(Number(await redis.get(redisKeys.auditBytes)) / 1_048_576).toFixed(0)} MiB`,
);
const begun = performance.now();
app = await launch();
await drained();
row(
  'requests and verdicts that accounting encrypts, chains and books',
  `${Math.round(waiting / ((performance.now() - begun) / 1_000)).toLocaleString('en')} a second`,
);
const before = performance.now();
const { ok, checked } = await admin('audit/verify');
row(
  `\`audit/verify\` of ${checked!.rows.toLocaleString('en')} rows with their contents${ok ? '' : ' (BROKEN)'}`,
  `${((performance.now() - before) / 1_000).toFixed(1)} s`,
);
if (ok) section.publish();
else process.exitCode = 1;
await app.close();
redis.disconnect();
await stores.stop();
