import { describe, expect, it } from '@jest/globals';
import { errorAnswer, isKept, KEPT_ANSWER_BYTES_MAX } from './answers.js';
import { DaypassError, type ErrorCode } from './errors.js';
import { replySchema, type Reply } from './reply.js';

const meta = { moderation: { input: 'pass', output: 'pass' }, queueMs: 3 } as const;
const whole = (body: string): Reply => ({
  type: 'answer',
  status: 200,
  contentType: 'application/json',
  headers: {},
  body,
  meta,
});

describe('an answer that a repeat gets', () => {
  it('is every whole one, up to the bound', () => {
    expect(isKept(whole('{}'))).toBe(true);
    expect(isKept(whole('x'.repeat(KEPT_ANSWER_BYTES_MAX)))).toBe(true);
    expect(isKept(whole('x'.repeat(KEPT_ANSWER_BYTES_MAX + 1)))).toBe(false);
  });

  it('is never a part of a stream', () => {
    expect(isKept({ type: 'open', meta })).toBe(false);
    expect(isKept({ type: 'frames', n: 0, text: 'data: {}\n\n' })).toBe(false);
    expect(isKept({ type: 'end', frames: 1 })).toBe(false);
  });

  it.each<[ErrorCode, boolean]>([
    ['moderation_blocked', true],
    ['upstream_outcome_unknown', true],
    ['queue_full', false],
    ['rate_limit_exceeded', false],
    ['recovering', false],
    ['overloaded', false],
    ['upstream_error', false],
    ['moderation_unavailable', false],
  ])('is the error %s: %p, because a retry that we ask for must be a new call', (code, kept) => {
    expect(isKept(errorAnswer(new DaypassError(code, 'why')))).toBe(kept);
  });

  it('is an error whose retry cannot help, though its kind may be retried', () => {
    expect(isKept(errorAnswer(new DaypassError('moderation_unavailable', 'It was charged.', { retry: false })))).toBe(
      true,
    );
  });
});

describe('an error as a whole answer', () => {
  it('says what the catalogue says, and is a reply as the ingress parses it', () => {
    const error = new DaypassError('queue_full', 'Later.', { retryAfterMs: 1_500 });
    const reply = replySchema.parse(errorAnswer(error, meta));
    expect(reply).toMatchObject({
      type: 'answer',
      status: 429,
      contentType: 'application/json',
      headers: { 'x-should-retry': 'true', 'retry-after': '2', 'retry-after-ms': '1500' },
      meta,
    });
    expect(JSON.parse((reply as Extract<Reply, { type: 'answer' }>).body)).toEqual(error.body());
  });

  it('of a call that never came so far shows no verdict', () => {
    expect(errorAnswer(new DaypassError('recovering', 'Soon.'))).toMatchObject({
      meta: { moderation: { input: 'off', output: 'off' }, queueMs: 0 },
    });
  });
});
