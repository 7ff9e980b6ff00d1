import { Redis } from 'ioredis';
import { Queue } from 'bullmq';
import { configFileSchema } from '#libs/config/config-file.js';
import { laneQueue, type Ticket } from '#libs/contracts/jobs.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { AccountStore } from '#libs/holds/account.store.js';
import { Door } from '#libs/holds/door.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { requestId } from './bench-accounting.js';
import { startTestRedis } from './stores.js';
import { tell } from './bench-report.js';

const LANE = 'lane';
const KEYS = 1_000;
const SHORT = 100;
const LONG = 100_000;
const SAMPLE = 2_000;
const AT_ONCE = 64;

const POLICY = { input: 'off', output: 'off', thresholds: {}, onUnavailable: 'closed' } as const;
const ticketOf = (id: string, keyId: string): Ticket => ({
  ...{
    requestId: id,
    keyId,
    campaignId: 'c',
    replyTo: 'door',
    model: 'm',
    lane: LANE,
    stream: false,
    facts: {},
    outputs: 1,
    inputTokens: 500,
  },
  ...{
    pacedTokens: 700,
    weight: 1,
    patienceMs: 600_000,
    capTokens: 200,
    capLowered: false,
    feeNano: '0',
    tierPercent: 100,
    heldNano: '1000',
    day: 20_780,
  },
  ...{
    price: { input: 750, cachedInput: 75, cacheWrite: 750, output: 4_500 },
    keepAnswer: false,
    inputVerdict: 'pass',
    acceptedMs: Date.now(),
    policy: POLICY,
  },
});

/** Measures how long a call takes to join a line, and to start from it, with 100 and with 100,000 waiting calls. */
export async function measureLine(): Promise<void> {
  const store = await startTestRedis({ durable: true });
  const redis = new Redis(store.redisUrl);
  await new Door(redis).set('open', 1);
  const accounts = new AccountStore(redis);
  const budgetNano = 1_000_000_000_000n;
  await accounts.projectCampaign({
    id: 'c',
    version: 1,
    budgetNano,
    slug: 'c',
    status: 'active',
    models: ['m'],
    policy: {},
    toolPrices: {},
    weight: 1,
    origins: null,
  });
  const limits = { rpm: 0, tpm: 0, concurrent: 0 };
  for (let n = 0; n < KEYS; n++) {
    const its = {
      label: '',
      status: 'active',
      expiresMs: 0,
      limits,
      models: null,
      policy: null,
      strikesSinceMs: 0,
      tokenHash: `t${n}`,
    } as const;
    await accounts.projectKey({
      id: `k${n}`,
      version: 1,
      budgetNano: budgetNano / BigInt(KEYS),
      campaignId: 'c',
      ...its,
    });
  }
  const table = new LaneTable(configFileSchema.parse({ lanes: { [LANE]: {} } }));
  const line = new LaneLine(redis, table);
  const holds = new HoldStore(redis);
  const queue = new Queue(laneQueue(LANE), bullOptions(store.redisUrl));
  const queues = new LaneQueues([LANE], [queue], line);
  const bounds = {
    journalEntries: 1e7,
    auditBytes: 1e9,
    auditBytesOfKey: 1e9,
    keyBytesPerHour: 0,
    operatorDayNano: undefined,
    operatorTotalNano: undefined,
    patient: false,
  };
  let arrived = 0;
  const arrive = async (): Promise<string> => {
    const [id, keyId] = [requestId(), `k${arrived++ % KEYS}`];
    const amounts = {
      fixedNano: 1_000n,
      perUnitNano: 0n,
      capTokens: 200,
      leastCapTokens: 200,
      inputTokens: 500,
      outputs: 1,
    };
    await holds.take(
      {
        requestId: id,
        keyId,
        campaignId: 'c',
        ...amounts,
        maxWaitMs: 600_000,
        detail: '{}',
        lane: LANE,
        replyTo: 'door',
      },
      bounds,
    );
    return id;
  };
  const enter = async (ids: string[]): Promise<void> => {
    await Promise.all(
      ids.map((id, index) => queues.enqueue(ticketOf(id, `k${(arrived - ids.length + index) % KEYS}`))),
    );
  };
  const memory = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);

  /** Milliseconds for a call to join, and to start, with 64 at once. The line keeps its length. */
  const measure = async (): Promise<[enqueueMs: number, pickMs: number]> => {
    let [enqueueMs, pickMs] = [0, 0];
    for (let n = 0; n < SAMPLE; n += AT_ONCE) {
      const ids: string[] = [];
      for (let k = 0; k < AT_ONCE; k++) ids.push(await arrive());
      let startedMs = performance.now();
      await enter(ids);
      enqueueMs += performance.now() - startedMs;
      startedMs = performance.now();
      const heads = await line.heads(LANE, AT_ONCE);
      const upstreams = table.upstreamsOf(LANE);
      await Promise.all(
        heads.map(({ requestId: id, keyId, campaignId, pacedTokens: tokens }) =>
          holds.start({ requestId: id, keyId, campaignId, lane: LANE, tokens, upstreams, nonce: id }),
        ),
      );
      pickMs += performance.now() - startedMs;
    }
    return [enqueueMs / SAMPLE, pickMs / SAMPLE];
  };

  const fill = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += AT_ONCE) {
      const ids = await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - n) }, arrive));
      await Promise.all(ids.map((id) => queues.enqueue(ticketOf(id, `k${Math.floor(KEYS * Math.random())}`))));
    }
  };
  await fill(SHORT);
  const short = await measure();
  const before = await memory();
  await fill(LONG - SHORT);
  const perCall = ((await memory()) - before) / (LONG - SHORT);
  const long = await measure();
  const { waitingCalls } = await line.look(LANE);
  const figures = `${waitingCalls} wait; with ${SHORT}: to join ${short[0].toFixed(3)} ms, to be picked ${short[1].toFixed(3)} ms; with ${LONG}: ${long[0].toFixed(3)} ms and ${long[1].toFixed(3)} ms; ${Math.round(perCall)} bytes of Redis for each that waits (hold, ticket, place and turn)`;
  tell({ scenario: 'a long line', used: '–', upstream429: 0, figures });
  await queue.close();
  redis.disconnect();
  await store.stop();
}
