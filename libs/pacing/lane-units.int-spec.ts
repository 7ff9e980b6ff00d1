import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PacedUnits, Ticket } from '#libs/contracts/jobs.js';
import { laneUpstream, Money } from '#libs/holds/money.fixture.js';
import type { HoldRequest, StartAnswer } from '#libs/holds/hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { LaneLine, type Entered } from './lane-line.js';
import type { LaneTable } from './lanes.js';
import type { LaneUpstream } from './lane.upstreams.js';

let money: Money;
let calls: number;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
  calls = 0;
});

const FIVE = [laneUpstream({ ipm: 5 })];
const UNITS = redisKeys.laneUnits('lane');
const BUCKET_MS = 250;

/** A call that asks for its dispatch. */
async function start(units: PacedUnits | undefined, upstreams: readonly LaneUpstream[] = FIVE): Promise<StartAnswer> {
  const requestId = `r${++calls}`;
  await money.take(requestId, { maxWaitMs: 120_000 });
  return money.start(requestId, { units, upstreams });
}
const codeOf = async (units: PacedUnits | undefined, upstreams?: readonly LaneUpstream[]): Promise<string> =>
  (await start(units, upstreams)).code;

/** As if that time had passed for a window. */
async function pass(ms: number, window = UNITS): Promise<void> {
  const by = ms / BUCKET_MS;
  const fields = Object.entries(await money.redis.hgetall(window)).map(([name, value]) => {
    if (name === 'h') return [name, String(Number(value) - by)] as const;
    const bucket = /^([nt])(\d+)$/.exec(name);
    return [bucket ? `${bucket[1]}${Number(bucket[2]) - by}` : name, value] as const;
  });
  if (fields.length === 0) return;
  await money.redis.del(window);
  await money.redis.hset(window, Object.fromEntries(fields));
}

describe('a lane with a limit of images', () => {
  it('starts so many images within a minute, and never one more', async () => {
    for (let call = 0; call < 5; call++) expect(await codeOf({ images: 1 })).toBe('started');
    const sixth = await start({ images: 1 });
    expect(sixth).toMatchObject({ code: 'wait', why: '' });
    const { waitMs } = sixth as { waitMs: number };
    expect(waitMs).toBeGreaterThan(58_000);
    expect(waitMs).toBeLessThanOrEqual(61_000);
    expect(await money.window(UNITS)).toEqual({ requests: 5, tokens: 0 });
    await pass(58_000);
    expect(await codeOf({ images: 1 })).toBe('wait');
    await pass(3_000);
    for (let call = 0; call < 5; call++) expect(await codeOf({ images: 1 })).toBe('started');
    expect(await codeOf({ images: 1 })).toBe('wait');
  });

  it('counts the images of a call together, and refuses one that never fits', async () => {
    expect(await codeOf({ images: 3 })).toBe('started');
    expect(await codeOf({ images: 3 })).toBe('wait');
    expect(await codeOf({ images: 2 })).toBe('started');
    expect(await codeOf({ images: 6 })).toBe('too_large');
  });

  it('keeps to it in any minute, whatever comes when', async () => {
    const step = fc.record({ images: fc.integer({ min: 1, max: 4 }), waitMs: fc.nat(120).map((n) => n * BUCKET_MS) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 15 }), async (steps) => {
        await money.redis.del(UNITS);
        let nowMs = 0;
        const sent: { atMs: number; images: number }[] = [];
        for (const { images, waitMs } of steps) {
          await pass(waitMs);
          nowMs += waitMs;
          if ((await codeOf({ images })) === 'started') sent.push({ atMs: nowMs, images });
          const ofMinute = sent.filter(({ atMs }) => nowMs - atMs < 60_000);
          expect(ofMinute.reduce((sum, one) => sum + one.images, 0)).toBeLessThanOrEqual(5);
        }
      }),
      { numRuns: 20, seed: 23 },
    );
  });

  it('holds up neither calls without images, nor other lanes', async () => {
    const other = [laneUpstream({ slot: 'other', ipm: 1 })];
    expect(await codeOf({ images: 5 })).toBe('started');
    expect(await codeOf({ images: 1 })).toBe('wait');
    for (let call = 0; call < 5; call++) {
      expect(await codeOf(undefined)).toBe('started');
      expect(await codeOf({ audioSeconds: 90 })).toBe('started');
    }
    expect(await codeOf({ images: 1 }, other)).toBe('started');
    expect(await codeOf({ images: 1 }, other)).toBe('wait');
    expect(await codeOf({ images: 99 }, [laneUpstream({ slot: 'free' })])).toBe('started');
    expect(await money.redis.exists(redisKeys.laneUnits('free'))).toBe(0);
    expect(await money.window(UNITS)).toEqual({ requests: 5, tokens: 0 });
  });

  it('goes on at the next upstream that has room', async () => {
    const upstreams = [laneUpstream({ ipm: 1 }), laneUpstream({ name: 'spare', slot: 'lane@spare', ipm: 4 })];
    expect(await start({ images: 1 }, upstreams)).toMatchObject({ upstream: 'openai' });
    expect(await start({ images: 4 }, upstreams)).toMatchObject({ upstream: 'spare' });
    expect(await start({ images: 1 }, upstreams)).toMatchObject({ code: 'wait' });
    expect(await start({ images: 5 }, upstreams)).toMatchObject({ code: 'too_large' });
  });

  it('is told to operators', async () => {
    await start({ images: 2 });
    const table = { upstreamsOf: () => FIVE } as unknown as LaneTable;
    const [view] = (await new LaneLine(money.redis, table).look('lane')).upstreams;
    expect(view).toMatchObject({ ipm: 5, images: 2, audioSecondsPerMinute: 0, audioSeconds: 0 });
  });
});

describe('a limit of images that nobody configured', () => {
  const NONE = [laneUpstream()];
  const table = { upstreamsOf: () => NONE, upstreamOf: () => NONE[0] } as unknown as LaneTable;
  const answered = { account: 'account', answered: true };
  const counted = { requests: 0, tokens: 0, atMs: 0 };

  it('comes from the headers of an answer, and answers without it leave it', async () => {
    const line = new LaneLine(money.redis, table);
    await line.learn('lane', 'openai', new Headers({ 'x-ratelimit-limit-images': '2' }), counted, answered);
    expect(await codeOf({ images: 2 }, NONE)).toBe('started');
    expect(await codeOf({ images: 1 }, NONE)).toBe('wait');
    await line.learn('lane', 'openai', new Headers({ 'x-ratelimit-limit-requests': '9' }), counted, answered);
    expect(await codeOf({ images: 1 }, NONE)).toBe('wait');
    await line.learn('lane', 'openai', new Headers({ 'x-ratelimit-limit-images': '3' }), counted, answered);
    expect(await codeOf({ images: 1 }, NONE)).toBe('started');
    await line.adopt('lane', 'openai', 'another account');
    expect(await codeOf({ images: 9 }, NONE)).toBe('started');
  });

  it("comes from the project's report, and goes with it", async () => {
    const line = new LaneLine(money.redis, table);
    await line.takeOver('lane', { rpm: 0, tpm: 0, rpd: 0, ipm: 2 });
    expect(await codeOf({ images: 3 }, NONE)).toBe('too_large');
    await line.takeOver('lane', { rpm: 0, tpm: 0, rpd: 0 });
    expect(await codeOf({ images: 3 }, NONE)).toBe('started');
  });
});

describe('a lane with a limit of sound', () => {
  const HEARS = [laneUpstream({ audioSecondsPerMinute: 100 })];

  it('takes so many seconds within a minute', async () => {
    expect(await codeOf({ audioSeconds: 60 }, HEARS)).toBe('started');
    expect(await codeOf({ audioSeconds: 41 }, HEARS)).toBe('wait');
    expect(await codeOf({ audioSeconds: 40 }, HEARS)).toBe('started');
    expect(await codeOf({ audioSeconds: 101 }, HEARS)).toBe('too_large');
    expect(await codeOf({ images: 7 }, HEARS)).toBe('started');
    expect(await money.window(UNITS)).toEqual({ requests: 0, tokens: 100 });
  });
});

describe('the line of such a lane', () => {
  const line = (): LaneLine => new LaneLine(money.redis, { upstreamsOf: () => FIVE } as unknown as LaneTable);
  async function enter(id: string, ticket: Partial<Ticket>, hold: Partial<HoldRequest> = {}): Promise<Entered> {
    await money.take(id, { maxWaitMs: 120_000, body: { encrypted: Buffer.from(id), lifeMs: 60_000 }, ...hold });
    const call = { requestId: id, keyId: 'k', lane: 'lane', pacedTokens: 1, weight: 1, facts: {}, outputs: 0 };
    return line().enter({ ...call, ...ticket } as Ticket);
  }
  async function next(): Promise<[string, string][]> {
    const look = { lane: 'lane', count: 10, process: 'p', look: ++calls, isRepeat: false, upstreams: FIVE };
    const looked = await money.holds.next(look);
    return looked.code === 'looked' ? looked.calls.map(({ requestId, start: { code } }) => [requestId, code]) : [];
  }

  it('begins calls by the images of their tickets, and those of the version before, which have none', async () => {
    for (const id of ['a', 'b', 'c']) await enter(id, { pacedUnits: { images: 2 } });
    expect(await next()).toEqual([
      ['a', 'started'],
      ['b', 'started'],
      ['c', 'wait'],
    ]);
    expect(await money.window(UNITS)).toEqual({ requests: 4, tokens: 0 });
    await pass(61_000);
    await enter('text', {});
    expect(await next()).toEqual([
      ['c', 'started'],
      ['text', 'started'],
    ]);
  });

  it('refuses at the entrance what never fits, and what would come too late', async () => {
    expect(await enter('large', { pacedUnits: { images: 6 } })).toEqual({ code: 'too_large' });
    await start({ images: 5 });
    const late = await enter('late', { pacedUnits: { images: 1 } }, { maxWaitMs: 30_000 });
    expect(late).toMatchObject({ code: 'late' });
    expect((late as { waitMs: number }).waitMs).toBeGreaterThan(55_000);
    expect(await enter('patient', { pacedUnits: { images: 1 } }, { maxWaitMs: 90_000 })).toMatchObject({
      code: 'entered',
    });
    expect(await enter('text', {}, { maxWaitMs: 1_000 })).toMatchObject({ code: 'entered' });
  });

  it('shares by images where those are what is scarce', async () => {
    await money.key({ id: 'other', tokenHash: 'other' });
    await enter('a1', { pacedUnits: { images: 5 } });
    await enter('a2', { pacedUnits: { images: 5 } });
    await enter('b1', { keyId: 'other', pacedUnits: { images: 1 } }, { keyId: 'other' });
    expect(await money.redis.zrange(redisKeys.laneWaiting('lane'), 0, -1)).toEqual(['a1', 'b1', 'a2']);
  });
});

describe('images that another model makes', () => {
  const PICTURES = redisKeys.laneUnits('pictures');
  const DRAWN: PacedUnits = { images: 1, drawing: [{ name: 'openai', slot: 'pictures', ipm: 2 }] };
  const OWN = [laneUpstream({ slot: 'pictures', ipm: 2 })];
  const TEXT = [laneUpstream({ slot: 'text', rpm: 10 })];
  const counted = async (): Promise<number> => (await money.window(PICTURES)).requests;
  const table = { upstreamsOf: () => TEXT, upstreamOf: () => OWN[0] } as unknown as LaneTable;
  const line = (): LaneLine => new LaneLine(money.redis, table);

  it("count against that model's lane, with those that are asked of it, and each in one step with its request", async () => {
    expect(await codeOf({ images: 1 }, OWN)).toBe('started');
    expect(await codeOf(DRAWN, TEXT)).toBe('started');
    expect(await start(DRAWN, TEXT)).toMatchObject({ code: 'wait', why: 'images' });
    expect(await start(DRAWN, [laneUpstream({ slot: 'other' })])).toMatchObject({ code: 'wait', why: 'images' });
    expect(await codeOf({ images: 1 }, OWN)).toBe('wait');
    expect(await codeOf({ ...DRAWN, images: 3 }, TEXT)).toBe('too_large');
    expect(await counted()).toBe(2);
    expect(await money.window(redisKeys.laneWindow('text'))).toMatchObject({ requests: 1 });
    expect(await money.redis.exists(UNITS, redisKeys.laneUnits('text'), redisKeys.laneUnits('other'))).toBe(0);
    await pass(61_000, PICTURES);
    const full = [laneUpstream({ slot: 'full', rpm: 1 })];
    expect(await codeOf(undefined, full)).toBe('started');
    expect(await start(DRAWN, full)).toMatchObject({ code: 'wait', why: '' });
    expect(await counted()).toBe(0);
  });

  it('keep to the limit of each account, and to one that nobody configured', async () => {
    const both = [laneUpstream({ slot: 'text' }), laneUpstream({ name: 'spare', slot: 'text@spare' })];
    const upstreams = [DRAWN.drawing![0]!, { name: 'spare', slot: 'pictures@spare', ipm: 1 }];
    const started = [];
    for (let call = 0; call < 4; call++) started.push(await start({ images: 1, drawing: upstreams }, both));
    expect(started.map((one) => ('upstream' in one ? one.upstream : one.code))).toEqual([
      ...['openai', 'openai', 'spare', 'wait'],
    ]);
    await pass(61_000, PICTURES);
    await line().takeOver('pictures', { rpm: 0, tpm: 0, rpd: 0, ipm: 1 });
    expect(await codeOf(DRAWN, TEXT)).toBe('started');
    expect(await codeOf(DRAWN, TEXT)).toBe('wait');
    expect(await codeOf({ images: 9, drawing: [] }, TEXT)).toBe('started');
  });

  it('are within the limit when all lanes ask at once', async () => {
    const slots = Array.from({ length: 90 }, (_, n) => ['text', 'other', 'pictures'][n % 3]!);
    const answers = await Promise.all(
      slots.map((slot) =>
        slot === 'pictures' ? codeOf({ images: 1 }, OWN) : codeOf(DRAWN, [laneUpstream({ slot, burstMs: 60_000 })]),
      ),
    );
    expect(answers.filter((code) => code === 'started')).toHaveLength(2);
    expect(await counted()).toBe(2);
  });

  it('are given back where none was made; where some were, those count from the end of the call', async () => {
    const begun = async (images = 2): Promise<string> => {
      expect(await start({ ...DRAWN, images }, TEXT)).toMatchObject({ code: 'started' });
      return `r${calls}`;
    };
    await money.end(await begun(), 'post', { drawn: 0 });
    expect(await counted()).toBe(0);
    await money.end(await begun(), 'void');
    expect(await counted()).toBe(0);
    const deferred = await begun();
    const refused = { requestId: deferred, lane: 'lane', slot: 'text', attempt: 1, freezeMs: 0 };
    expect(await money.holds.defer(refused)).toBe(true);
    expect(await counted()).toBe(0);
    await money.end(deferred, 'void');
    expect(await counted()).toBe(0);

    const long = await begun();
    await pass(50_000, PICTURES);
    const [images, bucket, window] = (await money.redis.hget(redisKeys.hold(long), 'drawn'))!.split(' ');
    await money.redis.hset(redisKeys.hold(long), 'drawn', `${images} ${Number(bucket) - 50_000 / BUCKET_MS} ${window}`);
    await money.end(long, 'post', { drawn: 1 });
    await pass(15_000, PICTURES);
    expect(await codeOf({ ...DRAWN, images: 2 }, TEXT)).toBe('wait');
    expect(await codeOf({ images: 1 }, OWN)).toBe('started');
    await pass(61_000, PICTURES);
    await money.end(await begun(), 'presume');
    await money.end(`r${calls}`, 'post', { drawn: 0 });
    expect(await counted()).toBe(2);
  });

  describe('in the line of a lane', () => {
    async function enter(id: string, pacedUnits?: PacedUnits, maxWaitMs = 120_000): Promise<Entered> {
      await money.take(id, { maxWaitMs, body: { encrypted: Buffer.from(id), lifeMs: 60_000 } });
      const call = { requestId: id, keyId: 'k', lane: 'lane', pacedTokens: 1, weight: 1, facts: {}, outputs: 0 };
      return line().enter({ ...call, ...(pacedUnits ? { pacedUnits } : {}) } as Ticket);
    }
    async function next(count = 10): Promise<string[]> {
      const look = { lane: 'lane', count, process: 'p', look: ++calls, isRepeat: false, upstreams: TEXT };
      const looked = await money.holds.next(look);
      return looked.code === 'looked'
        ? looked.calls.map(({ requestId, start: { code } }) => `${requestId} ${code}`)
        : [];
    }

    it('hold nobody up that draws nothing, and keep their own order', async () => {
      await codeOf({ images: 1 }, OWN);
      await enter('large', { ...DRAWN, images: 2 });
      await enter('small', DRAWN);
      await enter('text');
      await enter('drawing', DRAWN);
      await enter('last');
      expect(await next(1)).toEqual(['text started']);
      expect(await next()).toEqual(['last started']);
      expect(await next()).toEqual([]);
      expect(await money.redis.zrange(redisKeys.laneWaiting('lane'), 0, -1)).toEqual(['large', 'small', 'drawing']);
      // Nobody behind them waits for them.
      expect(await enter('prompt', undefined, 1_000)).toMatchObject({ code: 'entered', before: 0 });
      await pass(61_000, PICTURES);
      expect(await next()).toEqual(['large started', 'prompt started']);
      await money.end('large', 'post', { drawn: 0 });
      expect(await next()).toEqual(['small started', 'drawing started']);
      expect(await money.redis.exists(redisKeys.laneFair('lane'))).toBe(0);
    });

    it('are refused where they never fit, or come too late', async () => {
      expect(await enter('large', { ...DRAWN, images: 3 })).toEqual({ code: 'too_large' });
      await enter('waits', DRAWN, 30_000);
      await codeOf({ images: 2 }, OWN);
      expect(await enter('late', DRAWN, 30_000)).toMatchObject({ code: 'late' });
      expect(await enter('patient', DRAWN)).toMatchObject({ code: 'entered' });
      expect(await next()).toEqual(['waits late']);
    });
  });
});
