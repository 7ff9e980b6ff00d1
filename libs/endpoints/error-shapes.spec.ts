import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isTooLarge, spokenError } from './error-shapes.js';

const read = (value: unknown) => spokenError(JSON.stringify(value), 'application/json');

describe('what an upstream says in an error', () => {
  it.each([
    [
      "OpenAI's object",
      { error: { message: 'no', type: 'invalid_request_error', param: 'n', code: 'invalid_value' } },
      { message: 'no', type: 'invalid_request_error', param: 'n', code: 'invalid_value' },
    ],
    ['an object without a message', { error: { code: 'content_filter' } }, { message: '', code: 'content_filter' }],
    [
      'a text as the error',
      { error: 'overloaded', error_type: 'overloaded' },
      { message: 'overloaded', type: 'overloaded' },
    ],
    ["FastAPI's text", { detail: 'Not Found' }, { message: 'Not Found' }],
    [
      "FastAPI's list",
      { detail: [{ loc: ['body', 'messages', 0, 'content'], msg: 'field required', type: 'missing' }, 'and more'] },
      {
        message: 'messages.0.content: field required; and more',
        param: 'messages.0.content',
        code: 'missing',
      },
    ],
    [
      "vLLM's fields at the top",
      { object: 'error', message: 'too long', type: 'BadRequestError', param: null, code: 400 },
      { message: 'too long', type: 'BadRequestError' },
    ],
    ['a list of one', [{ error: { message: 'no', code: 400, status: 'INVALID_ARGUMENT' } }], { message: 'no' }],
    ['RFC 9457', { title: 'Bad', status: 400, detail: 'n is too large' }, { message: 'n is too large' }],
  ])('is read of %s', (_, body, said) => expect(read(body)).toMatchObject(said));

  it.each([
    ['no object', 7],
    ['an empty object', {}],
    ['an empty error', { error: {} }],
    ['an empty list', { detail: [] }],
    ['details without words', { detail: [{ loc: ['body'] }, null, 3] }],
  ])('is nothing where there is %s', (_, body) => expect(read(body)).toBeNull());

  it('is plain text, and no page of a proxy', () => {
    expect(spokenError('model is loading\n', 'text/plain; charset=utf-8')).toEqual({ message: 'model is loading' });
    expect(spokenError('<html><body>10.0.0.1</body></html>', 'text/plain')).toBeNull();
    expect(spokenError('<!DOCTYPE html>', '')).toBeNull();
    expect(spokenError('the server is 10.0.0.1', 'text/html')).toBeNull();
    expect(spokenError('{"error":{"mess', 'text/plain')).toBeNull();
    expect(spokenError('', 'text/plain')).toBeNull();
    expect(spokenError('x'.repeat(100_000), 'text/plain')!.message).toHaveLength(2_000);
  });

  it('never fails, and stays short, whatever comes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('error', 'detail', 'message'), (value, field) => {
        for (const body of [value, { [field]: value }, { [field]: [{ loc: ['body', value], msg: 'm', type: value }] }])
          expect(JSON.stringify(read(body) ?? '').length).toBeLessThan(60_000);
      }),
    );
  });
});

describe('the parameters that an upstream does not know', () => {
  const unknown = (value: unknown) => read(value)?.unknown;

  it('are named by FastAPI, all at once', () => {
    const msg = 'Extra inputs are not permitted';
    const strict = { detail: [{ type: 'extra_forbidden', loc: ['body', 'store'], msg, input: false }] };
    expect(unknown(strict)).toEqual(['store']);
    const forbidden = (name: string) => ({ type: 'extra_forbidden', loc: ['body', name], msg: 'Extra inputs' });
    expect(unknown({ detail: [forbidden('store'), forbidden('service_tier'), forbidden('store')] })).toEqual([
      'store',
      'service_tier',
    ]);
    expect(unknown({ detail: [{ type: 'value_error.extra', loc: ['body', 'store'], msg: 'no' }] })).toEqual(['store']);
  });

  it.each([
    [{ code: 'unknown_parameter', param: 'store', message: "Unknown parameter: 'store'." }, ['store']],
    [{ code: 'unsupported_parameter', param: 'stream_options.include_usage', message: 'no' }, ['stream_options']],
    [{ message: 'Unrecognized request argument supplied: store' }, ['store']],
    [{ message: "property 'store' is unsupported" }, ['store']],
    [{ message: "'store' is not supported" }, ['store']],
    [{ message: 'store: Extra inputs are not permitted' }, ['store']],
    [
      { message: "[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra inputs are not permitted'}]" },
      ['store'],
    ],
    [{ code: 'invalid_value', param: 'store', message: "Invalid value for 'store'" }, undefined],
    [{ message: "Invalid schema for function 'store': unknown keyword 'parameter'" }, undefined],
    [{ message: "Unknown parameter: 'messages[0].store'." }, undefined],
    [{ message: 'tools.0.function.store: Extra inputs are not permitted' }, undefined],
    [{ message: 'You said: unknown parameter store' }, undefined],
  ])('are named by %j', (error, names) => expect(unknown({ error })).toEqual(names));

  it('are not those of a part of the request', () => {
    expect(unknown({ detail: [{ type: 'missing', loc: ['body', 'store'], msg: 'no' }] })).toBeUndefined();
    expect(unknown({ detail: [{ type: 'extra_forbidden', loc: ['query', 'store'], msg: 'no' }] })).toBeUndefined();
    const nested = { type: 'extra_forbidden', loc: ['body', 'messages', 0, 'store'], msg: 'no' };
    expect(unknown({ detail: [nested] })).toEqual(['messages']);
  });
});

describe('a request above the whole limit', () => {
  it.each([
    'Request too large for gpt-5.4 in organization org-A on tokens per min (TPM): Limit 30000, Requested 40000.',
    '429 Request too large for the model.',
    'Limit: 1,000 / Requested: 1,001',
    'Rate limit reached: Limit 30000, Used 0, Requested 30001.',
  ])('is told by: %s', (message) => expect(isTooLarge(message)).toBe(true));

  it.each([
    'Rate limit reached on tokens per min: Limit 30000, Used 18928, Requested 29159. Please try again in 2s.',
    'Limit 30000, Requested 30000',
    'Rate limit reached. You said: request too large',
    'Requested 5',
    '',
  ])('is not told by: %s', (message) => expect(isTooLarge(message)).toBe(false));

  it('names what the filters of Azure OpenAI caught, and nothing that is no filter', () => {
    const caught = { violence: { filtered: true }, hate: { filtered: false }, 'no filter!': { filtered: true } };
    const error = { code: 'content_filter', message: 'filtered', param: 'prompt' };
    const read = (inner: object): unknown => spokenError(JSON.stringify({ error: { ...error, ...inner } }), '');
    expect(read({ innererror: { content_filter_result: caught } })).toEqual({ ...error, filtered: ['violence'] });
    expect(read({ inner_error: { content_filter_results: caught } })).toEqual({ ...error, filtered: ['violence'] });
    for (const none of [{}, { innererror: 'x' }, { innererror: { content_filter_result: { hate: 'x' } } }])
      expect(read(none)).toEqual(error);
  });
});
