import { describe, expect, it } from '@jest/globals';
import { backoffMs, reactTo, stoppedStream, type UpstreamFailure } from './upstream-failure.js';

const failure = (over: Partial<UpstreamFailure>): UpstreamFailure => ({
  status: 500,
  code: undefined,
  type: undefined,
  param: undefined,
  message: 'x',
  filtered: [],
  spoken: true,
  retryAfterMs: undefined,
  usedUp: false,
  tooLarge: false,
  shouldRetry: undefined,
  neverSent: false,
  ...over,
});

describe('the reaction to a failed upstream call', () => {
  it('is a strike where a filter of Azure OpenAI caught the input, and names the filter', () => {
    const caught = failure({ status: 400, code: undefined, filtered: ['violence'] });
    expect(reactTo(caught)).toMatchObject({
      kind: 'pass_on',
      strike: true,
      body: { error: { daypass: { categories: ['violence'] } } },
    });
    expect(reactTo(failure({ status: 400 }))).toMatchObject({ kind: 'pass_on', strike: false });
  });

  it.each([
    [404, 'DeploymentNotFound'],
    [400, 'OperationNotSupported'],
    [400, 'InvalidApiVersionParameter'],
    [403, 'AuthenticationTypeDisabled'],
  ])("is the operator's trouble at Azure OpenAI: %i %s", (status, code) => {
    expect(reactTo(failure({ status, code }))).toMatchObject({ kind: 'account', opens: false });
    expect(reactTo(failure({ status, code: 'other' }))).toMatchObject({ kind: 'pass_on' });
  });

  it.each([
    ['by its header', failure({ status: 429, retryAfterMs: 250 }), 250],
    [
      'by its message in milliseconds',
      failure({ status: 429, type: 'tokens', message: 'Limit 30000. Please try again in 174ms.' }),
      174,
    ],
    [
      'by its message in minutes',
      failure({ status: 429, type: 'requests', message: 'Please try again in 1m2.5s.' }),
      62_500,
    ],
    ['for a second when it says no time', failure({ status: 429, code: 'rate_limit_exceeded' }), 1_000],
    ['by the type of its error', failure({ status: 429, type: 'tokens' }), 1_000],
    ['for a second when its headers say that nothing is left', failure({ status: 429, usedUp: true }), 1_000],
    ['for two minutes at most', failure({ status: 429, retryAfterMs: 86_400_000 }), 120_000],
    ['for a moment when the header lies below zero', failure({ status: 429, retryAfterMs: -5 }), 1],
  ])('defers a call over the rate limit, %s', (_, given, freezeMs) => {
    expect(reactTo(given)).toEqual({ kind: 'defer', freezeMs });
  });

  it.each([
    failure({ status: 429, code: 'insufficient_quota' }),
    failure({ status: 429, code: 'credit_balance_exhausted' }),
    failure({ status: 429, code: 'project_spend_limit_exceeded' }),
    failure({ status: 429, type: 'insufficient_quota' }),
    failure({ status: 401, code: 'invalid_api_key', message: 'Incorrect API key provided: sk-abcdefgh' }),
    failure({ status: 402, message: 'Insufficient Balance' }),
    failure({ status: 403, code: 'unsupported_country_region_territory' }),
  ])("tells the visitor nothing of the account's own trouble, and alerts: %j", (given) => {
    const reaction = reactTo(given);
    expect(reaction).toMatchObject({
      kind: 'account',
      error: { code: 'upstream_unavailable', retry: false },
      opens: true,
    });
    expect(JSON.stringify(reaction)).not.toContain('sk-');
  });

  it.each([
    failure({ status: 404, code: 'DeploymentNotFound', message: 'The API deployment does not exist.' }),
    failure({ status: 403, code: 'AccessDenied', message: 'Access denied due to Virtual Network/Firewall rules.' }),
    failure({ status: 403, code: '403', message: 'Public access is disabled. Please configure private endpoint.' }),
    // Servers without the API that the call speaks.
    failure({ status: 404, message: 'Invalid URL (POST /v1/responses)', type: 'invalid_request_error' }),
    failure({ status: 404, message: 'Not Found' }),
    failure({ status: 404, message: '404 page not found' }),
    failure({ status: 404, message: 'File Not Found', type: 'not_found_error' }),
    failure({ status: 404, message: 'Cannot POST /v1/responses' }),
    failure({ status: 404, message: 'Resource not found', code: '404' }),
    failure({ status: 404, message: '404 status code (no body)', spoken: false }),
  ])("alerts to what the operator must mend, and stops no other visitor's calls: %j", (given) => {
    expect(reactTo(given)).toMatchObject({ kind: 'account', error: { code: 'upstream_unavailable' }, opens: false });
  });

  it.each([
    failure({ status: 403, message: 'You may not ask for this, org-abc123.' }),
    failure({ status: 451, code: 'blocked_by_law', message: 'no' }),
    failure({ status: 405, message: 'no' }),
    failure({ status: 404, message: 'The model `m` does not exist.', code: 'model_not_found' }),
    failure({ status: 404, message: 'model "m" not found, try pulling it first' }),
    failure({ status: 404, message: "Item with id 'rs_1' not found.", param: 'input' }),
  ])("passes on what is the request's own trouble: %j", (given) => {
    const reaction = reactTo(given);
    expect(reaction).toMatchObject({ kind: 'pass_on', status: given.status, strike: false });
    expect(JSON.stringify(reaction)).not.toContain('abc123');
  });

  it('refuses what is above the whole limit, and freezes nothing', () => {
    const message = 'Request too large for org-A1b2C3d4: Limit 30000, Requested 40000. Please try again in 20s.';
    const given = { status: 429, type: 'tokens', code: 'rate_limit_exceeded', retryAfterMs: 20_000, tooLarge: true };
    const error = { code: 'rate_limit_exceeded', retry: false, message: message.replace('org-A1b2C3d4', '[removed]') };
    expect(reactTo(failure({ ...given, message }))).toMatchObject({ kind: 'too_large', error });
    expect(reactTo(failure({ ...given, spoken: false }))).toMatchObject({
      kind: 'too_large',
      error: { message: expect.stringContaining('make it smaller') },
    });
  });

  it.each([
    failure({ status: 429, message: 'Too Many Requests' }),
    failure({ status: 429, code: 'this_is_too_often', message: 'not again' }),
    failure({ status: 429, spoken: false }),
  ])('lets only this call wait where a 429 says nothing of a limit that all share: %j', (given) => {
    expect(reactTo(given)).toMatchObject({ kind: 'pause', error: { code: 'rate_limit_exceeded', retry: true } });
  });

  it("passes the upstream's word about the request on", () => {
    expect(
      reactTo(
        failure({
          status: 400,
          code: 'invalid_value',
          type: 'invalid_request_error',
          param: 'temperature',
          message: 'too hot for org-abc123',
        }),
      ),
    ).toEqual({
      kind: 'pass_on',
      status: 400,
      body: {
        error: {
          message: 'too hot for [removed]',
          type: 'invalid_request_error',
          param: 'temperature',
          code: 'invalid_value',
        },
      },
      strike: false,
    });
  });

  it.each([
    [400, 'invalid_prompt'],
    [403, 'cyber_policy'],
    [403, 'identifier_blocked'],
    [429, 'bio_policy'],
  ])(
    "passes the provider's refusal for its safety on (%i, %s), which counts against the visitor, not the account",
    (status, code) => {
      expect(reactTo(failure({ status, code, message: 'no' }))).toMatchObject({
        kind: 'pass_on',
        status,
        strike: true,
        body: { error: { code } },
      });
      expect(reactTo(failure({ status: 500, code }))).toMatchObject({ kind: 'retry' });
    },
  );

  it('gives the hold back after a 5xx, which is not billed', () => {
    expect(reactTo(failure({ status: 503, message: 'overloaded' }))).toMatchObject({
      kind: 'retry',
      error: { code: 'upstream_error', retry: true },
    });
    expect(reactTo(failure({ status: 500, shouldRetry: false }))).toMatchObject({
      kind: 'refuse',
      error: { retry: false },
    });
  });

  it('presumes where a proxy gave up waiting, and shows no page of one', () => {
    expect(reactTo(failure({ status: 504 }))).toMatchObject({ kind: 'unknown' });
    expect(
      reactTo(failure({ status: 503, message: '<html>internal host 10.0.0.1</html>', spoken: false })),
    ).toMatchObject({
      error: { message: 'The upstream failed.' },
    });
  });

  it('gives the hold back when the socket never opened, and presumes when it broke', () => {
    expect(reactTo(failure({ status: undefined, neverSent: true }))).toMatchObject({
      kind: 'retry',
      unreachable: true,
      error: { code: 'upstream_error' },
    });
    expect(reactTo(failure({ status: undefined }))).toMatchObject({
      kind: 'unknown',
      error: { code: 'upstream_outcome_unknown', retry: false },
    });
  });

  it('waits longer before each further try, never for the same time, and never for long', () => {
    expect([1, 2, 3].map((attempt) => backoffMs(attempt, 0))).toEqual([50, 100, 200]);
    expect([1, 2, 3].map((attempt) => backoffMs(attempt, 1))).toEqual([150, 300, 600]);
    expect(backoffMs(1_000, 1)).toBe(3_000);
  });

  it("cleans messages of the account's ids", () => {
    const message = 'Rate limit for gpt-5.4-mini in organization org-A1b2C3d4 project proj_xyz789 key sk-live-123456';
    const cleaned = 'Rate limit for gpt-5.4-mini in organization [removed] project [removed] key [removed]';
    expect(reactTo(failure({ message }))).toMatchObject({ error: { message: cleaned } });
    expect(stoppedStream({ message }).error.message).toBe(cleaned);
  });

  it('cleans the other words of an error, too, and keeps them short', () => {
    const id = 'org-A1b2C3d4E5f6G7h8';
    const given = failure({ status: 400, type: `type ${id}`, param: `param ${id}`, code: `${id} ${'x'.repeat(999)}` });
    expect(reactTo(given)).toMatchObject({ body: { error: { type: 'type [removed]', param: 'param [removed]' } } });
    const shown = JSON.stringify(reactTo(given));
    expect(shown).not.toContain(id);
    expect(shown.length).toBeLessThan(500);
  });

  it("takes nothing out that the visitor's own request has", () => {
    const error = {
      message:
        "Invalid schema for function 'user_lookup': In context=('properties', 'user_name'), 'required' is required to be supplied and to be an array including every key in properties. Missing 'key_points'.",
      type: 'invalid_request_error',
      param: 'tools[0].function.parameters',
      code: 'invalid_function_parameters',
    };
    expect(reactTo(failure({ status: 400, ...error }))).toMatchObject({ kind: 'pass_on', body: { error } });
    const theirs = 'The file key_A1b2C3d4E5f6G7h8 is missing';
    expect(reactTo(failure({ status: 400, message: theirs }), (text) => text === 'key_A1b2C3d4E5f6G7h8')).toMatchObject(
      {
        body: { error: { message: theirs } },
      },
    );
  });
});

describe('an error in the middle of a stream', () => {
  it('is not worth another try, and says what the upstream said', () => {
    expect(stoppedStream({ message: 'too much', code: 'server_error' })).toMatchObject({
      error: { code: 'upstream_error', message: 'too much', retry: false },
      strike: false,
    });
    expect(stoppedStream({}).error.message).toBe('The upstream ended the stream with an error.');
  });

  it.each(['content_filter', 'cyber_policy', 'identifier_blocked'])(
    'counts against the visitor where the provider stopped it for its safety (%s)',
    (code) => expect(stoppedStream({ message: 'no', code }).strike).toBe(true),
  );
});
