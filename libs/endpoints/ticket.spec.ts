import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import type { Ticket } from '#libs/contracts/jobs.js';
import { formerTicketSchema } from '#libs/testing/version-before.js';
import { readTicket, writtenTicket } from './ticket.js';

const shared = {
  requestId: 'req-1',
  keyId: 'key-1',
  campaignId: 'campaign-1',
  replyTo: 'ingress-1',
  model: 'gpt-5.4-mini',
  lane: 'default',
  stream: true,
  inputTokens: 12,
  pacedTokens: 100,
  weight: 2,
  capTokens: 64,
  capLowered: true,
  price: { input: 75, cachedInput: 8, cacheWrite: 75, output: 300 },
  feeNano: '7',
  tierPercent: 200,
  heldNano: '1000',
  day: 20_000,
  keepAnswer: true,
  policy: { input: 'gate', output: 'window', thresholds: { violence: 0.6 }, onUnavailable: 'closed' },
  inputVerdict: 'pass',
  patienceMs: 30_000,
  acceptedMs: 1_763_876_480_000,
  trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
} as const;
const ticket: Ticket = { ...shared, outputs: 3, facts: { includeUsage: true } };
const throughRedis = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('a ticket', () => {
  it.each([
    ['of chat', ticket],
    ['without a fact', { ...ticket, facts: {} }],
    ['of another API, with no output and no cap', { ...ticket, endpoint: 'echo', outputs: 0, capTokens: 0, facts: {} }],
    ['with facts of another API', { ...ticket, endpoint: 'echo', facts: { seconds: 7, loud: true } }],
  ] satisfies [string, Ticket][])('comes out of a queue as it went in: %s', (_, given) => {
    expect(readTicket(throughRedis(writtenTicket(given)))).toEqual(given);
  });

  it.each([
    [true, { includeUsage: true }],
    [false, { includeUsage: false }],
  ])('of the version before is read (includeUsage: %s)', (includeUsage, facts) => {
    const former = formerTicketSchema.parse({ ...shared, choices: 3, includeUsage });
    expect(readTicket(throughRedis(former))).toEqual({ ...shared, outputs: 3, facts });
  });

  it('of the version before may lack what has a default', () => {
    const { weight: _w, capLowered: _c, feeNano: _f, tierPercent: _t, patienceMs: _p, trace: _, ...rest } = shared;
    expect(readTicket({ ...rest, choices: 1, includeUsage: false })).toEqual({
      ...rest,
      ...{ weight: 1, capLowered: false, feeNano: '0', tierPercent: 100, patienceMs: 0 },
      outputs: 1,
      facts: { includeUsage: false },
    });
  });

  it('can be read by the version before', () => {
    expect(formerTicketSchema.parse(throughRedis(writtenTicket(ticket)))).toEqual({
      ...shared,
      choices: 3,
      includeUsage: true,
    });
    expect(formerTicketSchema.parse(throughRedis(writtenTicket({ ...ticket, facts: {} })))).toMatchObject({
      includeUsage: false,
    });
    expect(formerTicketSchema.parse(throughRedis(writtenTicket({ ...ticket, outputs: 0 })))).toMatchObject({
      choices: 1,
    });
  });

  it('carries no content, whatever is put into it', () => {
    const messages = [{ role: 'user', content: 'hello' }];
    expect(readTicket({ ...writtenTicket(ticket), messages, body: 'hello' })).toEqual(ticket);
    expect(() => readTicket({ ...ticket, facts: { said: 'hello' } })).toThrow(z.ZodError);
    expect(() => readTicket({ ...ticket, facts: { said: messages } })).toThrow(z.ZodError);
  });

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'ticket'],
    ['a list', [ticket]],
    ['no outputs under either name', { ...shared }],
    ['no choice, of the version before', { ...shared, choices: -1, includeUsage: true }],
    ['words for choices', { ...shared, choices: '3', includeUsage: true }],
    ['no request', { ...ticket, requestId: undefined }],
  ])('is none where it is %s', (_, given) => expect(() => readTicket(given)).toThrow(z.ZodError));
});
