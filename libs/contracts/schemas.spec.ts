import { describe, expect, it } from '@jest/globals';
import { laneQueue, MODERATION_BATCH_MAX, moderationJobSchema, ticketSchema, type Ticket } from './jobs.js';
import { journalEventSchema } from './journal.js';
import { campaignStateSchema, keyLimitsSchema, keyStateSchema } from './key-state.js';
import { replySchema } from './reply.js';

const rates = { input: 75, cachedInput: 8, cacheWrite: 75, output: 300 };
const ticket: Ticket = {
  requestId: 'req-1',
  keyId: 'key-1',
  campaignId: 'campaign-1',
  replyTo: 'ingress-1',
  model: 'gpt-5.4-mini',
  lane: 'default',
  stream: true,
  facts: { includeUsage: true },
  outputs: 1,
  inputTokens: 12,
  capTokens: 64,
  pacedTokens: 100,
  weight: 1,
  patienceMs: 30_000,
  capLowered: false,
  price: rates,
  feeNano: '0',
  tierPercent: 100,
  day: 20_000,
  keepAnswer: false,
  heldNano: '1000',
  policy: { input: 'gate', output: 'gate', thresholds: { violence: 0.6 }, onUnavailable: 'closed' },
  inputVerdict: 'pass',
  acceptedMs: 1_763_876_480_000,
};

describe('a ticket', () => {
  it('comes out of a queue as it went in', () => {
    expect(ticketSchema.parse(JSON.parse(JSON.stringify(ticket)))).toEqual(ticket);
  });

  it('drops whatever is not in the contract, so that content cannot ride along', () => {
    expect(ticketSchema.parse({ ...ticket, messages: [{ role: 'user', content: 'hello' }] })).toEqual(ticket);
  });

  it.each([
    ['fewer outputs than none', { outputs: -1 }],
    ['a negative cap', { capTokens: -1 }],
    ['a fact that is text', { facts: { wish: 'hello' } }],
    ['a negative count', { inputTokens: -1 }],
    ['a price in fractions', { price: { ...rates, input: 0.5 } }],
    ['a negative price', { price: { ...rates, output: -1 } }],
    ['a mode that no worker serves', { policy: { ...ticket.policy, input: 'sometimes' } }],
    ['no request', { requestId: undefined }],
  ])('is refused with %s', (_, change) => {
    expect(ticketSchema.safeParse({ ...ticket, ...change }).success).toBe(false);
  });

  it('may have no output and no cap, and names its API where that is not chat', () => {
    const echo = { ...ticket, endpoint: 'echo', outputs: 0, capTokens: 0, facts: {} };
    expect(ticketSchema.parse(echo)).toEqual(echo);
  });

  it('keeps the rates of long context', () => {
    const price = { ...rates, long: { ...rates, aboveTokens: 272_000 } };
    expect(ticketSchema.parse({ ...ticket, price }).price).toEqual(price);
  });
});

describe('a moderation job', () => {
  it('holds one call to as many as one upstream call can judge', () => {
    const calls = (count: number) =>
      moderationJobSchema.safeParse({ calls: Array.from({ length: count }, () => ticket) }).success;
    expect([calls(0), calls(1), calls(MODERATION_BATCH_MAX), calls(MODERATION_BATCH_MAX + 1)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});

describe('queue names', () => {
  it('hold no colon, which BullMQ refuses', () => {
    expect(laneQueue('gpt-5.4')).toBe('lane-gpt-5.4');
  });
});

describe('a journal entry', () => {
  const entry = {
    kind: 'post',
    request: 'r',
    key: 'k',
    campaign: 'c',
    amount: '10',
    paid: '7',
    absorbed: '0',
    at_ms: '1763876480000',
    detail: '{}',
  };

  it('reads the strings of a Redis stream, amounts left exact', () => {
    expect(journalEventSchema.parse({ ...entry, amount: '9007199254740993' })).toEqual({
      ...entry,
      amount: '9007199254740993',
      at_ms: 1_763_876_480_000,
      day: 0,
      attempt: 0,
      strikes: 0,
      first_use: '0',
      step: '',
      until_ms: 0,
      upstream: '',
    });
    expect(journalEventSchema.parse({ ...entry, kind: 'dispatch', day: '20780', attempt: '2' })).toMatchObject({
      day: 20_780,
      attempt: 2,
    });
  });

  it.each([
    ['a negative amount', { paid: '-1' }],
    ['an exponent', { amount: '1e+16' }],
    ['a fraction', { absorbed: '0.5' }],
    ['an unknown kind', { kind: 'refund' }],
    ['no request', { request: '' }],
    ['a day before 1970', { day: '-1' }],
    ['half an attempt', { attempt: '1.5' }],
  ])('is refused with %s', (_, change) => {
    expect(journalEventSchema.safeParse({ ...entry, ...change }).success).toBe(false);
  });
});

describe('the state of a key in Redis', () => {
  const hash = {
    id: 'k',
    campaign: 'c',
    label: 'desk 4',
    status: 'active',
    models: '["gpt-5.4-mini"]',
    policy: 'null',
    budget: '5000000000',
    spent: '12',
    held: '3',
    running: '1',
    strike_times: '20 10',
    rpm: '10',
  };

  it('reads balances as exact integers and what is not set as unlimited or zero', () => {
    expect(keyStateSchema.parse(hash)).toMatchObject({
      budget: 5_000_000_000n,
      spent: 12n,
      held: 3n,
      running: 1,
      strike_times: [20, 10],
      rpm: 10,
      tpm: 0,
      concurrent: 0,
      bytes_per_hour: 0,
      expires_ms: 0,
      policy: null,
    });
  });

  it('reads models null as every model of the campaign', () => {
    expect(keyStateSchema.parse({ ...hash, models: 'null' }).models).toBeNull();
  });

  it.each([
    ['an unknown status', { status: 'frozen' }],
    ['a balance that is no integer', { spent: '1.5' }],
    ['a policy that nobody could have written', { policy: '{"input":"never"}' }],
    ['no models at all', { models: undefined }],
  ])('is refused with %s, rather than served with a guess', (_, change) => {
    expect(keyStateSchema.safeParse({ ...hash, ...change }).success).toBe(false);
  });

  it('is refused, not thrown past, where a field holds no JSON', () => {
    expect(keyStateSchema.safeParse({ ...hash, models: '[oops' }).success).toBe(false);
  });

  it('has limits that are whole, bounded, and 0 for none', () => {
    expect(keyLimitsSchema.parse({})).toEqual({ rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 0 });
    for (const wrong of [{ rpm: -1 }, { tpm: 1.5 }, { concurrent: 1e9 }, { bytes_per_hour: 1e15 }, { rps: 1 }])
      expect(keyLimitsSchema.safeParse(wrong).success).toBe(false);
  });

  it('of a campaign always has a policy', () => {
    const campaign = { id: 'c', slug: 'demo', status: 'active', models: '[]', policy: '{}', budget: '1' };
    expect(campaignStateSchema.parse(campaign)).toMatchObject({
      budget: 1n,
      spent: 0n,
      held: 0n,
      policy: { input: 'gate', output: 'gate' },
    });
    expect(campaignStateSchema.safeParse({ ...campaign, policy: 'null' }).success).toBe(false);
  });
});

describe('a reply', () => {
  const meta = { moderation: { input: 'pass', output: 'off' }, queueMs: 3 };

  it.each([
    { type: 'answer', status: 200, contentType: 'application/json', headers: {}, body: '{}', meta },
    { type: 'open', meta },
    { type: 'frames', n: 0, text: 'data: {}\n\n' },
    { type: 'end', frames: 1 },
  ])('of type $type is understood', (reply) => {
    expect(replySchema.parse(reply)).toEqual(reply);
  });

  it('of an unknown type is refused', () => {
    expect(replySchema.safeParse({ type: 'trailer' }).success).toBe(false);
  });
});
