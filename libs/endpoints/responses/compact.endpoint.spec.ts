import { describe, expect, it } from '@jest/globals';
import { boundOf } from '#libs/money/bound.js';
import { costOf } from '#libs/money/cost.js';
import { MisshapenAnswer, type CountingTools, type Request, type UpstreamTraits } from '../endpoint.js';
import type { Json, JsonObject } from '../json.js';
import { COMPACT } from './compact.endpoint.js';

const FIRST: UpstreamTraits = { kind: 'openai', drops: [], tag: '' };
const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'cache' };
const user = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello there' }] };
const assistant = { type: 'message', role: 'assistant', content: 'Hello to you' };
const compaction = { id: 'cmp_of_the_upstream_0001', type: 'compaction', encrypted_content: 'gAAA_b' };
const valid = { model: 'gpt-5.4-mini', input: [user, assistant] };
const usage = { input_tokens: 30, output_tokens: 20, total_tokens: 50 };
const whole = { id: 'resp_up', object: 'response.compaction', created_at: 1, output: [user, compaction], usage };

const parse = (json: Json): Request => COMPACT.parse({ json, blobs: [] });
const tools = (more: Partial<CountingTools> = {}): CountingTools => ({
  countTokens: (texts) => Promise.resolve(texts.join(' ').split(' ').length),
  toolTokens: 0,
  mostOutputTokens: 1_000,
  ...more,
});
const sentTo = (upstream: UpstreamTraits, json: Json = valid) =>
  COMPACT.call(COMPACT.forwarded(parse(json), FORCED), { capTokens: 0, facts: {} }, upstream);
const reader = (tag = '') =>
  COMPACT.reader({ requestId: 'req_0123', model: 'gpt-5.4-mini', outputs: 0, facts: {} }, { tag });
const read = (answer: object, tag = '') => reader(tag).whole(Buffer.from(JSON.stringify(answer)), 'application/json');

describe('a compaction', () => {
  it('sends what its API takes and nothing else: no ids, no cap, and the cache of this visitor alone', () => {
    const own = { ...valid, input: [{ ...user, id: 'msg_1' }], prompt_cache_key: 'mine', instructions: 'Be short.' };
    expect(sentTo(FIRST, own)).toEqual({
      path: '/responses/compact',
      form: 'json',
      dropped: [],
      body: {
        blobs: [],
        json: {
          model: 'gpt-5.4-mini',
          input: [user],
          instructions: 'Be short.',
          service_tier: 'default',
          prompt_cache_key: 'cache',
        },
      },
    });
    expect(parse(own)).toMatchObject({ adjusted: ['prompt_cache_key'], outputs: 0, capTokens: null, stream: false });
    const left = sentTo({ ...FIRST, drops: ['service_tier', 'prompt_cache_key', 'model'] }).body.json;
    expect(left).toEqual(valid);
  });

  it.each([
    [{ store: false }, 'unknown_parameter', 'store'],
    [{ stream: true }, 'unknown_parameter', 'stream'],
    [{ max_output_tokens: 100 }, 'unknown_parameter', 'max_output_tokens'],
    [{ conversation: 'conv_1' }, 'invalid_request', 'conversation'],
    [{ input: [] }, 'invalid_request', 'input'],
    [{ service_tier: 'ultrafast' }, 'unpriceable_request', 'service_tier'],
  ])('refuses %j by name', (more, code, param) => {
    expect(() => parse({ ...valid, ...more })).toThrow(expect.objectContaining({ code, param }));
  });

  it('names its last response, whose items take its place', () => {
    const named = parse({ model: 'gpt-5.4-mini', previous_response_id: 'resp_1' });
    expect(named.refs).toEqual([{ kind: 'response', id: 'resp_1', param: 'previous_response_id' }]);
    const { body } = COMPACT.expand!(named, { before: [{ item: { ...user, id: 'msg_1' } }], items: new Map() });
    const sent = COMPACT.call(COMPACT.forwarded({ ...named, body }, FORCED), { capTokens: 0, facts: {} }, FIRST).body
      .json;
    expect(sent).toMatchObject({ input: [user] });
    expect(sent).not.toHaveProperty('previous_response_id');
  });

  it('is bound by the longest answer of its model, and refused where nobody knows it', async () => {
    const measured = await COMPACT.measure(parse(valid), tools());
    expect(measured).toMatchObject({ most: { output: 1_000 }, perCapToken: {} });
    const price = { input: 750, cachedInput: 75, cacheWrite: 750, output: 4_500 };
    const bound = boundOf(price, measured, { tierPercent: 100, feeNano: 0n });
    expect(bound.perUnitNano).toBe(0n);
    expect(bound.fixedNano).toBeGreaterThanOrEqual(costOf(price, { input: measured.most.input!, output: 1_000 }));
    const { mostOutputTokens: _, ...unknown } = tools();
    await expect(COMPACT.measure(parse(valid), unknown)).rejects.toMatchObject({
      code: 'unpriceable_request',
      param: 'model',
      message: expect.stringContaining('prices.gpt-5.4-mini.max_output_tokens'),
    });
  });

  it('counts what nobody can read by its length', async () => {
    const inputOf = async (characters: number): Promise<number> =>
      (
        await COMPACT.measure(
          parse({ ...valid, input: [{ type: 'compaction', encrypted_content: 'g'.repeat(characters) }] }),
          tools(),
        )
      ).estimate.input!;
    expect((await inputOf(2_002)) - (await inputOf(2))).toBe(1_000);
  });

  it('is shown under ids of its own, marked with the upstream that alone reads it, and costs what it tells', () => {
    const answer = read({ ...whole, model: 'gpt-5.4-mini-2026', service_tier: 'default' }, '0badcafe');
    const shown = JSON.parse(answer.shown([])!.body as string) as { id: string; output: JsonObject[] };
    expect(shown).toMatchObject({ id: 'resp_0123', object: 'response.compaction', created_at: 1, usage });
    expect(shown.output).toMatchObject([user, { ...compaction, encrypted_content: 'dp0badcafe.gAAA_b' }]);
    const told = reader();
    told.whole(Buffer.from(JSON.stringify({ ...whole, service_tier: 'flex' })), 'application/json');
    expect(told.report).toMatchObject({ metered: { input: 30, output: 20 }, serviceTier: 'flex' });
  });

  it('is judged, images and all; blocked it is an error, so that no client forgets its conversation', () => {
    const image = { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgoAAAAN' };
    const seen = { ...user, content: [...user.content, image] };
    const answer = read({ ...whole, output: [seen, compaction], note: 'an extra' });
    expect(answer.contents).toMatchObject([
      { kind: 'text', text: expect.stringMatching(/note[^]*an extra[^]*Hello there/) },
      { kind: 'image', url: image.image_url },
    ]);
    expect(JSON.stringify(answer.shown([{ find: 'there', replace: '[out]' }]))).toContain('Hello [out]');
    const blocked = answer.blocked(['violence']);
    expect(blocked.status).toBe(400);
    expect(JSON.parse(blocked.body as string)).toMatchObject({
      error: { code: 'moderation_blocked', daypass: { direction: 'output', categories: ['violence'] } },
    });
  });

  it.each([
    { ...whole, output: [user] },
    { ...whole, output: [] },
    { ...whole, output: [user, { type: 'compaction' }] },
    { id: 'x' },
    { error: { message: 'no' } },
  ])('that is %j is the failure of its upstream', (answer) => {
    expect(() => read(answer)).toThrow(MisshapenAnswer);
  });
});
