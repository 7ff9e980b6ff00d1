import { describe, expect, it } from '@jest/globals';
import { DaypassError, ERRORS, type ErrorCode } from './errors.js';

describe('the error catalogue', () => {
  // What clients rely on, spelt out once more.
  const fixed: [number, ErrorCode, boolean][] = [
    [401, 'invalid_api_key', false],
    [403, 'key_suspended', false],
    [404, 'model_not_found', false],
    [404, 'endpoint_not_offered', false],
    [404, 'not_found', false],
    [400, 'previous_response_not_found', false],
    [426, 'websocket_not_supported', false],
    [400, 'moderation_blocked', false],
    [400, 'unpriceable_request', false],
    [429, 'insufficient_quota', false],
    [429, 'rate_limit_exceeded', true],
    [429, 'queue_full', true],
    [503, 'moderation_unavailable', true],
    [503, 'upstream_unavailable', false],
    [502, 'upstream_outcome_unknown', false],
    [503, 'recovering', true],
    [503, 'overloaded', true],
  ];

  it.each(fixed)('answers %i for %s, retry %p', (status, code, retry) => {
    const error = new DaypassError(code, 'why');
    expect(error.status).toBe(status);
    expect(error.retry).toBe(retry);
    expect(error.headers()['x-should-retry']).toBe(String(retry));
  });

  it('answers 502 for upstream_error and lets the upstream decide about the retry', () => {
    expect(new DaypassError('upstream_error', 'why').status).toBe(502);
    expect(new DaypassError('upstream_error', 'why', { retry: false }).headers()['x-should-retry']).toBe('false');
    expect(new DaypassError('upstream_error', 'why', { retry: true }).headers()['x-should-retry']).toBe('true');
  });

  it.each(Object.entries(ERRORS))(
    'tells %s as an error status, never as a success or a redirect',
    (_, { status, type }) => {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(type).toMatch(/^[a-z_]+$/);
    },
  );

  it('never asks a client to repeat what can only fail again', () => {
    // A 409 asks for a moment's patience where the first call with the same idempotency key still runs.
    const passing = new Set(['idempotency_in_progress']);
    for (const [code, { status, retry }] of Object.entries(ERRORS))
      if (status < 500 && status !== 429) expect(retry).toBe(passing.has(code));
  });
});

describe('an error on its way out', () => {
  it('has the shape that official SDKs parse', () => {
    expect(new DaypassError('unpriceable_request', 'no bound', { param: 'tools[0]' }).body()).toEqual({
      error: { message: 'no bound', type: 'invalid_request_error', param: 'tools[0]', code: 'unpriceable_request' },
    });
  });

  it('says null, not nothing, where no parameter is at fault', () => {
    expect(new DaypassError('overloaded', 'busy').body().error).toHaveProperty('param', null);
  });

  it('carries details beside the four fields only when there are any', () => {
    expect(new DaypassError('insufficient_quota', 'empty', { details: { level: 'key' } }).body().error.daypass).toEqual(
      { level: 'key' },
    );
    expect(new DaypassError('insufficient_quota', 'empty').body().error).not.toHaveProperty('daypass');
  });

  it('names a wait in whole seconds rounded up, and in milliseconds', () => {
    expect(new DaypassError('rate_limit_exceeded', 'slow down', { retryAfterMs: 1_200.4 }).headers()).toEqual({
      'x-should-retry': 'true',
      'retry-after': '2',
      'retry-after-ms': '1201',
    });
  });

  it('never tells a client to come back at once', () => {
    expect(new DaypassError('queue_full', 'full', { retryAfterMs: 0 }).headers()).toMatchObject({
      'retry-after': '1',
      'retry-after-ms': '1',
    });
  });

  it('names no wait where none is known', () => {
    expect(Object.keys(new DaypassError('overloaded', 'busy').headers())).toEqual(['x-should-retry']);
  });
});
