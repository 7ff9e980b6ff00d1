import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { Redis } from 'ioredis';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import { journalEventSchema } from '#libs/contracts/journal.js';
import { replyPartsSchema, replySchema } from '#libs/contracts/reply.js';
import { readTicket } from '#libs/endpoints/ticket.js';
import { CallEnder } from '#libs/holds/call-ender.js';
import { pairs } from '#libs/holds/money.fixture.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createLogger, NestLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { BEFORE, formerTicket, restoreBefore, ticketNow } from '#libs/testing/version-before.js';
import { ForwardingModule } from '../forwarding.module.js';

const { dispatched, ended, inLane } = BEFORE.calls;
/** Of gpt-5.4-mini, nano-dollars a token. */
const RATES = { input: 750n, output: 4_500n };

let redis: Redis;
let rehearsal: Rehearsal;
let config: DaypassConfig;
let app: INestApplicationContext;
beforeAll(async () => {
  const redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
  rehearsal = await Rehearsal.start();
  rehearsal.onChat = () => ({ content: 'a late answer', usage: { prompt_tokens: 11, completion_tokens: 7 } });
  await restoreBefore(redis);
  config = loadConfig('forwarding', {
    OPENAI_API_KEY: 'unused',
    OPENAI_BASE_URL: rehearsal.url,
    REDIS_URL: redisUrl,
    DAYPASS_SECRET: BEFORE.secret,
    DAYPASS_LOG_LEVEL: 'silent',
  });
});
afterAll(async () => {
  await app?.close();
  await rehearsal?.stop();
  redis?.disconnect();
});

const holdOf = (requestId: string): Promise<Record<string, string>> => redis.hgetall(redisKeys.hold(requestId));
const journal = async () =>
  (await redis.xrange(redisKeys.journal, '-', '+')).map(([, flat]) => journalEventSchema.parse(pairs(flat)));
/** What key, campaign and operator have in common where only calls of that key move. */
const moneyOf = async (requestId: string): Promise<{ spent: bigint; held: bigint }[]> => {
  const { keyId, campaignId, day } = formerTicket(requestId);
  const accounts = [redisKeys.key(keyId), redisKeys.campaign(campaignId)];
  const operator = [redisKeys.operatorPrefix + day, redisKeys.operatorTotal];
  return Promise.all(
    [...accounts, ...operator].map(async (account) => {
      const [spent, held] = await redis.hmget(account, 'spent', 'held');
      return { spent: BigInt(spent!), held: BigInt(held!) };
    }),
  );
};
const moved = (
  before: { spent: bigint; held: bigint }[],
  { paid, given }: { paid: bigint; given: string },
): { spent: bigint; held: bigint }[] =>
  before.map(({ spent, held }) => ({ spent: spent + paid, held: held - BigInt(given) }));

describe('calls of another version', () => {
  it('that wait in a lane are read as they were asked', async () => {
    const line = new LaneLine(redis, new LaneTable(config.file));
    expect(await line.heads('default', 10)).toEqual([ticketNow(inLane)]);
  });

  it('are served, shown and booked', async () => {
    const before = await moneyOf(inLane);
    const logger = createLogger('forwarding', 'silent');
    app = await NestFactory.createApplicationContext(
      ForwardingModule.register(config, logger, createRegistry('forwarding')),
      { logger: new NestLogger(logger) },
    );
    await until('the call has ended', async () => (await holdOf(inLane)).state === 'posted');

    expect(rehearsal.chatCalls().map(({ body }) => body)).toEqual([
      expect.objectContaining({
        messages: [{ role: 'user', content: 'Wait in the lane' }],
        max_tokens: 30,
        n: 2,
        stream_options: { include_usage: true },
      }),
    ]);
    const paid = 11n * RATES.input + 7n * RATES.output;
    expect(await holdOf(inLane)).toMatchObject({ paid: paid.toString(), absorbed: '0' });
    expect(await moneyOf(inLane)).toEqual(moved(before, { paid, given: formerTicket(inLane).heldNano }));
    expect(await journal()).toMatchObject([
      { kind: 'dispatch', request: inLane, attempt: 1 },
      { kind: 'post', request: inLane, paid: paid.toString() },
    ]);

    // The visitor asked for the usage at the end of the stream.
    const { replyTo } = formerTicket(inLane);
    const box = new ContentBox(config.secrets.contentKey);
    const entries = await redis.xrangeBuffer(redisKeys.reply(replyTo), '-', '+');
    const replies = entries.flatMap(([, fields]) => {
      const [id, last] = [fields[1]!.toString(), fields.at(-1)!];
      return fields[0]!.toString() === 'parts'
        ? replyPartsSchema.parse(JSON.parse(box.open(last, replyTo))).map(({ reply }) => reply)
        : [replySchema.parse(JSON.parse(box.open(last, id)))];
    });
    // The last frame came with the end.
    const text = replies.map((reply) => ('text' in reply ? reply.text : '')).join('');
    expect(text).toContain('"index":1');
    expect(text).toMatch(/"usage":\{"prompt_tokens":11,"completion_tokens":7[^\n]+\n\ndata: \[DONE\]\n\n$/);
  });

  it('that run are ended by what they cost', async () => {
    const before = await moneyOf(dispatched);
    const ticket = readTicket(JSON.parse((await redis.get(redisKeys.ticket(dispatched)))!));
    expect(ticket).toEqual(ticketNow(dispatched));
    const post = () =>
      app
        .get(CallEnder)
        .post(
          { ticket, dispatched: { attempt: 1, upstream: 'openai' } },
          { costNano: 300_000n, usedTokens: 60, detail: {}, reply: null },
        );
    expect(await post()).toMatchObject({ outcome: 'applied', state: 'posted', paidNano: 300_000n, absorbedNano: 0n });
    expect(await post()).toMatchObject({ outcome: 'repeated', paidNano: 300_000n });
    expect(await moneyOf(dispatched)).toEqual(moved(before, { paid: 300_000n, given: ticket.heldNano }));
  });

  it('that have ended stay ended', async () => {
    const { paid, key, campaign } = await holdOf(ended);
    const ticket = { ...ticketNow(inLane), requestId: ended, keyId: key!, campaignId: campaign! };
    expect(await app.get(CallEnder).cancel(ticket, 'visitor left')).toBe('ended');
    expect(
      await app
        .get(CallEnder)
        .post(
          { ticket, dispatched: { attempt: 1, upstream: 'openai' } },
          { costNano: 1n, usedTokens: 1, detail: {}, reply: null },
        ),
    ).toMatchObject({ outcome: 'repeated', state: 'posted', paidNano: BigInt(paid!) });
  });

  it('and of a later one, whose API nobody knows here, are given back unsent', async () => {
    const [later] = BEFORE.calls.judged;
    const [before, sent] = [await moneyOf(later), rehearsal.chatCalls().length];
    await app.get(LaneLine).enter({ ...ticketNow(later), endpoint: 'of.a.later.version' });
    await until('the call has ended', async () => (await holdOf(later)).state !== 'held');
    await until('it has left', async () => (await holdOf(later)).state !== 'dispatched');
    expect(await holdOf(later)).toMatchObject({ state: 'voided', paid: '0' });
    expect(await moneyOf(later)).toEqual(moved(before, { paid: 0n, given: formerTicket(later).heldNano }));
    expect(rehearsal.chatCalls()).toHaveLength(sent);
  });
});
