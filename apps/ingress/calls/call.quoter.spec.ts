import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import type { DaypassConfig } from '#libs/config/config.js';
import { configFileSchema } from '#libs/config/config-file.js';
import type { CampaignState } from '#libs/contracts/key-state.js';
import { SPEECH } from '#libs/endpoints/audio/speech.endpoint.js';
import { TRANSCRIPTIONS } from '#libs/endpoints/audio/transcriptions.endpoint.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { EMBEDDINGS } from '#libs/endpoints/embeddings/embeddings.endpoint.js';
import type { CountingTools, Endpoint, Measured } from '#libs/endpoints/endpoint.js';
import { COMPACT } from '#libs/endpoints/responses/compact.endpoint.js';
import { RESPONSES } from '#libs/endpoints/responses/responses.endpoint.js';
import { costOf } from '#libs/money/cost.js';
import { PriceBook } from '#libs/money/prices.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Visitor } from '../door/authenticator.service.js';
import { CallQuoter } from './call.quoter.js';

const own = { input_usd_per_million: 1, output_usd_per_million: 1 };
const file = configFileSchema.parse({
  prices: {
    alias: { input_usd_per_million: 1, encoding: 'cl100k_base' },
    llama: own,
    cousin: { ...own, encoding: 'cl100k_base', tiers: { priority: 1.5 } },
  },
});
const limits = { minOutputTokens: 16, defaultOutputTokens: 4_096, audioSeconds: 600 };
const quoter = new CallQuoter(
  { file, limits } as unknown as DaypassConfig,
  new PriceBook(file.prices),
  new LaneTable(file),
);
const models = [
  'whisper-1',
  'gpt-4o-transcribe',
  'gpt-4o-mini-tts',
  'tts-1',
  'text-embedding-3-small',
  'alias',
  'gpt-4',
  'gpt-5.4-mini',
  'gpt-5.5',
  'llama',
  'cousin',
];
const visitor = { models, campaign: { tool_prices: {} } as unknown as CampaignState } as unknown as Visitor;
/** Its lane has one upstream, which does not offer chat completions. */
const elsewhere = configFileSchema.parse({ main: { endpoints: ['responses'] } });
const quoteOf = (model: string, content: string, more: object = {}) =>
  quoter.quote(
    visitor,
    CHAT,
    CHAT.parse({ json: { model, messages: [{ role: 'user', content }], ...more }, blobs: [] }),
  );

const GEORGIAN = 'ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. '.repeat(20);

describe('the quote of sound', () => {
  const heard = (model: string, seconds: number) =>
    quoter.quote(
      visitor,
      TRANSCRIPTIONS,
      TRANSCRIPTIONS.parse({
        json: { model },
        blobs: [{ ref: '1', bytes: 1, type: 'audio/wav', field: 'file', seconds }],
      }),
    );
  const spoken = (model: string) =>
    quoter.quote(visitor, SPEECH, SPEECH.parse({ json: { model, input: 'Hello.', voice: 'alloy' }, blobs: [] }));

  it('is by what the price of its model is per', async () => {
    // $0.36 an hour, for 60 seconds and a second of margin.
    expect((await heard('whisper-1', 60)).bound.fixedNano).toBe(61n * 100_000n);
    // $6 a million tokens of sound, 10 of them a second; $2.50 a million of text, and $10 a million of output.
    expect((await heard('gpt-4o-transcribe', 60)).bound.fixedNano).toBe(
      610n * 6_000n + 64n * 2_500n + 2_000n * 10_000n,
    );
    expect((await spoken('gpt-4o-mini-tts')).bound.fixedNano).toBeGreaterThanOrEqual(130n * 12_000n);
  });

  it('is refused where nobody knows a price, and says which one to set', async () => {
    await expect(spoken('tts-1')).rejects.toMatchObject({
      code: 'unpriceable_request',
      message: expect.stringContaining('DAYPASS_CONFIG'),
    });
    await expect(heard('gpt-5.4-mini', 1)).rejects.toMatchObject({ code: 'unpriceable_request' });
  });

  it('is refused above its length, whatever its model', async () => {
    for (const model of ['whisper-1', 'gpt-4o-transcribe']) {
      await expect(heard(model, 600)).resolves.toBeDefined();
      await expect(heard(model, 3_600)).rejects.toMatchObject({
        code: 'invalid_request',
        param: 'file',
        message: expect.stringContaining('600 are allowed'),
      });
    }
  });
});

describe('the quote of a response that draws', () => {
  const drawing = { ...visitor, models: ['gpt-5.4-mini', 'gpt-image-9', 'gpt-image-2'] } as Visitor;
  const formsOf = (more: object = {}) =>
    quoter.forms(
      drawing,
      RESPONSES,
      RESPONSES.parse({
        json: { model: 'gpt-5.4-mini', input: 'Draw', tools: [{ type: 'image_generation', ...more }] },
        blobs: [],
      }),
    );

  it('has the rates of the first model of the key that draws at a known price, beside its own', async () => {
    const [form] = formsOf();
    expect(form!.drawing).toMatchObject({ model: 'gpt-image-2', calls: 1, tokens: 1_756 });
    const { price, pacedUnits } = await quoter.quote(drawing, RESPONSES, form!);
    expect(pacedUnits).toEqual({ images: 1, drawing: [{ name: 'openai', slot: 'default', ipm: 0 }] });
    expect(price).toMatchObject({ input: 750, output: 4_500, imageInput: 8_000, imageOutput: 30_000 });
    expect(() => formsOf({ model: 'gpt-image-9' })).toThrow(
      expect.objectContaining({ code: 'unpriceable_request', message: expect.stringContaining("'gpt-image-2'") }),
    );
  });

  it('is no less than any honest report costs', async () => {
    for (const form of formsOf({ partial_images: 3, quality: 'auto' })) {
      const { price, bound, capTokens } = await quoter.quote(drawing, RESPONSES, form);
      const { most, perCapToken } = await RESPONSES.measure(form, {
        countTokens: (texts) => Promise.resolve(texts.join('').length),
        toolTokens: 0,
      });
      fc.assert(
        fc.property(fc.nat(capTokens), fc.double({ min: 0, max: 1, noNaN: true }), (output, share) => {
          const report = {
            input: 2 * (10 + output),
            output,
            imageInput: Math.floor(share * (most.imageInput! + perCapToken.imageInput! * output)),
            imageOutput: Math.floor(share * most.imageOutput!),
          };
          expect(costOf(price, report)).toBeLessThanOrEqual(bound.fixedNano + bound.perUnitNano * BigInt(output));
        }),
      );
    }
  });

  it('of a compaction is that of the longest answer, which the price source or the operator must know', async () => {
    const compact = (model: string) =>
      quoter.quote(visitor, COMPACT, COMPACT.parse({ json: { model, input: 'Hello' }, blobs: [] }));
    const { bound, capTokens } = await compact('gpt-5.4-mini');
    expect(capTokens).toBe(0);
    expect(bound.fixedNano).toBeGreaterThan(128_000n * 4_500n);
    await expect(compact('llama')).rejects.toMatchObject({
      code: 'unpriceable_request',
      message: expect.stringContaining('prices.llama.max_output_tokens'),
    });
  });
});

describe('the quote of a call', () => {
  it('counts by the tokenizer of the model', async () => {
    const exact = encode(GEORGIAN).length;
    const [old, modern] = [await quoteOf('gpt-4', GEORGIAN), await quoteOf('gpt-5.4-mini', GEORGIAN)];
    expect(old.bound.inputTokens).toBeGreaterThanOrEqual(exact);
    expect(old.bound.inputTokens).toBeLessThan(exact * 1.05 + 20);
    expect(old.encoding).toBe('cl100k_base');
    expect(modern.bound.inputTokens).toBeLessThan(exact / 2);
    expect(modern.encoding).toBe('o200k_base');
  });

  it('counts bytes for a model of an unknown tokenizer, but takes no more of its lane for that', async () => {
    const { bound, encoding, pacedInputTokens } = await quoteOf('llama', GEORGIAN);
    expect(encoding).toBe('bytes');
    expect(bound.inputTokens).toBeGreaterThanOrEqual(Buffer.byteLength(GEORGIAN));
    expect(pacedInputTokens).toBe(Math.ceil(GEORGIAN.length / 4));
  });

  it('is refused by name before it holds anything where no upstream of the model offers the API', async () => {
    const config = { file: elsewhere, limits } as unknown as DaypassConfig;
    const refusing = new CallQuoter(config, new PriceBook(file.prices), new LaneTable(elsewhere));
    const request = CHAT.parse({ json: { model: 'gpt-4', messages: [{ role: 'user', content: 'Hi' }] }, blobs: [] });
    await expect(refusing.quote(visitor, CHAT, request)).rejects.toMatchObject({
      code: 'endpoint_not_offered',
      status: 404,
      retry: false,
      param: 'model',
      message: expect.stringMatching(/'gpt-4' offers \/v1\/chat\/completions/),
    });
  });

  it("counts as the operator's file says", async () => {
    const [named, old] = [await quoteOf('cousin', GEORGIAN), await quoteOf('gpt-4', GEORGIAN)];
    expect(named.bound.inputTokens).toBe(old.bound.inputTokens);
  });

  it.each([
    ['gpt-5.5', 'priority', 250],
    ['gpt-5.5', 'fast', 250],
    // A cheaper tier may serve at the standard price.
    ['gpt-5.5', 'flex', 100],
    ['gpt-5.4-mini', 'priority', 200],
    ['cousin', 'fast', 150],
    ['llama', 'auto', 100],
  ])('of %s under %s is at %d hundredths of the standard price', async (model, service_tier, percent) => {
    const { bound, price } = await quoteOf(model, 'Hello', { service_tier });
    expect(bound.tierPercent).toBe(percent);
    expect(bound.perUnitNano).toBe(BigInt(Math.ceil((price.output * percent) / 100)));
  });

  it.each([
    ['llama', 'priority'],
    ['cousin', 'flex'],
    ['gpt-4', 'flex'],
  ])('is refused for %s under %s, whose price nobody knows', async (model, service_tier) => {
    await expect(quoteOf(model, 'Hello', { service_tier })).rejects.toMatchObject({
      code: 'unpriceable_request',
      param: 'service_tier',
      message: expect.stringContaining(`'${service_tier}'`),
    });
  });
});

describe('the quote of a response', () => {
  const searcher = (web_search?: object): Visitor =>
    ({ models, campaign: { tool_prices: web_search ? { web_search } : {} } }) as unknown as Visitor;
  const respond = (more: object = {}) =>
    RESPONSES.parse({ json: { model: 'gpt-5.4-mini', input: 'Hello', ...more }, blobs: [] });
  const tools = [{ type: 'web_search' }, { type: 'function', name: 'weather' }];
  const PRICED = { usd_per_request: '0.01', input_tokens_per_request: 8_000 };

  it('never lowers a cap below what the API takes', async () => {
    const low = new CallQuoter(
      { file, limits: { ...limits, minOutputTokens: 1 } } as unknown as DaypassConfig,
      new PriceBook(file.prices),
      new LaneTable(file),
    );
    expect((await low.quote(visitor, RESPONSES, respond())).leastCapTokens).toBe(16);
    expect((await low.quote(visitor, RESPONSES, respond({ max_output_tokens: 16 }))).leastCapTokens).toBe(16);
    const chat = CHAT.parse({ json: { model: 'llama', messages: [{ role: 'user', content: 'x' }] }, blobs: [] });
    expect((await low.quote(visitor, CHAT, chat)).leastCapTokens).toBe(1);
  });

  it.each([
    [PRICED, undefined, 3n],
    [{ ...PRICED, max_calls: 5 }, undefined, 5n],
    [{ ...PRICED, max_calls: 5 }, 2, 2n],
  ])('under %j with at most %j calls has %d fees', async (price, max_tool_calls, calls) => {
    const who = searcher(price);
    const request = quoter.offered(who, RESPONSES, respond({ tools, ...(max_tool_calls ? { max_tool_calls } : {}) }));
    const { bound } = await quoter.quote(who, RESPONSES, request);
    expect(bound.feeNano).toBe(calls * 10_000_000n);
    const without = await quoter.quote(who, RESPONSES, respond({ tools: tools.slice(1) }));
    expect(bound.fixedNano - bound.feeNano).toBeGreaterThan((1n + calls) * without.bound.fixedNano);
    expect(bound.perUnitNano).toBeGreaterThan(without.bound.perUnitNano);
  });

  it('goes on without a search that the campaign has no price for, or is refused', async () => {
    const who = searcher();
    const request = quoter.offered(who, RESPONSES, respond({ tools }));
    expect(request.adjusted).toEqual(['tools.web_search']);
    expect((await quoter.quote(who, RESPONSES, request)).bound.feeNano).toBe(0n);
    const alone = quoter.offered(who, RESPONSES, respond({ tools: tools.slice(0, 1) }));
    await expect(quoter.quote(who, RESPONSES, alone)).rejects.toMatchObject({
      code: 'unpriceable_request',
      param: 'tools',
      message: expect.stringContaining('tool_prices.web_search'),
    });
  });

  it('leaves a chat completion and what searches nothing as they are', () => {
    const chat = CHAT.parse({
      json: { model: 'llama', messages: [{ role: 'user', content: 'x' }], web_search_options: {} },
      blobs: [],
    });
    expect(quoter.offered(searcher(), CHAT, chat)).toBe(chat);
    const request = respond();
    expect(quoter.offered(searcher(PRICED), RESPONSES, request)).toBe(request);
  });
});

describe('the quote of images and sound', () => {
  /** An API that may use so much. */
  const using = (measured: Partial<Measured>): Endpoint => ({
    ...EMBEDDINGS,
    path: '/v1/audio/transcriptions',
    measure: () => Promise.resolve({ estimate: {}, most: {}, perCapToken: {}, pacedTokens: 0, ...measured }),
  });
  const asked = (model: string, measured: Partial<Measured>) =>
    quoter.quote({ ...visitor, models: [model] }, using(measured), {
      ...EMBEDDINGS.parse({ json: { model, input: 'x' }, blobs: [] }),
    });

  it('is what they may use at most, at their own rates; the estimate and the pace go with it', async () => {
    const most = { seconds: 61 };
    const { bound, estimate, pacedUnits } = await asked('whisper-1', {
      estimate: { seconds: 60 },
      most,
      pace: { audioSeconds: 61 },
    });
    expect(bound).toMatchObject({ fixedNano: 6_100_000n, perUnitNano: 0n, inputTokens: 0, estimatedTokens: 0 });
    expect({ estimate, pacedUnits }).toEqual({ estimate: { seconds: 60 }, pacedUnits: { audioSeconds: 61 } });
    const heard = (seconds: number, max_seconds: number) =>
      quoter.quote(
        {
          ...visitor,
          models: ['whisper-1'],
          campaign: { tool_prices: { audio: { max_seconds } } } as unknown as CampaignState,
        },
        using({ most, pace: { audioSeconds: seconds } }),
        EMBEDDINGS.parse({ json: { model: 'whisper-1', input: 'x' }, blobs: [] }),
      );
    // A campaign may allow less sound, and never more.
    expect(await heard(60, 60)).toMatchObject({ lane: expect.any(String) });
    expect(await heard(600, 9_000)).toMatchObject({ lane: expect.any(String) });
    await expect(heard(61, 60)).rejects.toThrow('may take 61 seconds, and the campaign of this key allows 60.');
    await expect(heard(601, 9_000)).rejects.toThrow('may take 601 seconds, and 600 are allowed.');
    const image = await asked('gpt-image-2', { estimate: { input: 10, imageOutput: 1_000 }, most: { input: 20 } });
    expect(image.bound).toMatchObject({ inputTokens: 10, estimatedTokens: 1_010, fixedNano: 100_000n });
    expect(image.estimate).toEqual({ imageOutput: 1_000 });
  });

  it('has no estimate beside the input where there is none', async () => {
    expect((await asked('gpt-5.4-mini', { estimate: { input: 5, output: 0 } })).estimate).toBeUndefined();
    expect((await quoteOf('gpt-5.4-mini', 'Hello')).estimate).toBeUndefined();
    expect((await quoteOf('gpt-5.4-mini', 'Hello')).pacedUnits).toBeUndefined();
  });

  it('tells an API what its model has a price for', async () => {
    let tools: CountingTools | undefined;
    const endpoint = using({});
    const painter = { input_usd_per_million: 1, image_output_usd_per_million: 1, image_tokens_per_image: 4_096 };
    const { prices } = configFileSchema.parse({ prices: { painter } });
    const own = new CallQuoter(
      { file, limits } as unknown as DaypassConfig,
      new PriceBook(prices),
      new LaneTable(file),
    );
    await own.quote(
      { ...visitor, models: ['painter'] },
      { ...endpoint, measure: (request, given) => ((tools = given), endpoint.measure(request, given)) },
      EMBEDDINGS.parse({ json: { model: 'painter', input: 'x' }, blobs: [] }),
    );
    expect([...tools!.priced!].toSorted()).toEqual(['cacheWrite', 'cached', 'imageOutput', 'input']);
    expect(tools!.imageTokensPerImage).toBe(4_096);
  });

  it.each<[string, Partial<Measured>, string, string]>([
    ['whisper-1', { most: { input: 5 } }, 'the text that it reads', 'input_usd_per_million'],
    ['whisper-1', { most: { audioInput: 5 } }, 'the sound that it hears', 'audio_input_usd_per_million'],
    ['gpt-5.4-mini', { estimate: { imageInput: 5 } }, 'the images that it reads', 'image_input_usd_per_million'],
    ['gpt-5.4-mini', { most: { imageOutput: 5 } }, 'the images that it makes', 'image_output_usd_per_million'],
    ['gpt-5.4-mini', { most: { audioOutput: 5 } }, 'the sound that it makes', 'audio_output_usd_per_million'],
    ['gpt-5.4-mini', { most: { seconds: 5 } }, 'a second of sound', 'usd_per_hour'],
    ['gpt-5.4-mini', { most: { characters: 5 } }, 'the characters that it reads', 'usd_per_million_characters'],
  ])('for %s with %j is refused by name, with what the operator can set', async (model, measured, what, field) => {
    await expect(asked(model, measured)).rejects.toMatchObject({
      code: 'unpriceable_request',
      param: 'model',
      message: expect.stringMatching(
        new RegExp(
          `what ${what} costs for the model '${model}'.*/v1/audio/transcriptions.*prices\\.${model}\\.${field} in`,
        ),
      ),
    });
  });

  it('of text is refused for a model that is paid by the hour, before it is counted', async () => {
    const listener = { ...visitor, models: ['whisper-1'] };
    const chat = CHAT.parse({ json: { model: 'whisper-1', messages: [{ role: 'user', content: 'x' }] }, blobs: [] });
    await expect(quoter.quote(listener, CHAT, chat)).rejects.toMatchObject({
      code: 'unpriceable_request',
      message: expect.stringContaining('output_usd_per_million'),
    });
  });
});

describe('the quote of embeddings', () => {
  const embeddingsOf = (model: string, input: unknown) =>
    quoter.quote(visitor, EMBEDDINGS, EMBEDDINGS.parse({ json: { model, input }, blobs: [] }));

  it('is their input alone, by cl100k, without a cap', async () => {
    const exact = encode(GEORGIAN).length;
    const { bound, capTokens, leastCapTokens, encoding } = await embeddingsOf('text-embedding-3-small', GEORGIAN);
    expect(bound.inputTokens).toBeGreaterThanOrEqual(exact);
    expect(bound.inputTokens).toBeLessThan(exact * 1.05 + 20);
    expect(bound.fixedNano).toBe(BigInt(bound.inputTokens + 2) * 20n);
    expect({ perUnitNano: bound.perUnitNano, capTokens, leastCapTokens, encoding }).toEqual({
      perUnitNano: 0n,
      capTokens: 0,
      leastCapTokens: 0,
      encoding: 'cl100k_base',
    });
  });

  it("knows the text of tokens, by the operator's own encoding as well, and refuses them where nobody does", async () => {
    for (const model of ['text-embedding-3-small', 'alias'])
      expect((await embeddingsOf(model, [encode('Hello'), encode('there')])).decoded).toEqual(['Hello', 'there']);
    await expect(embeddingsOf('llama', [1, 2])).rejects.toMatchObject({ param: 'input' });
  });

  it('is refused to other APIs: their output has no price', async () => {
    await expect(quoteOf('text-embedding-3-small', 'Hello')).rejects.toMatchObject({
      code: 'unpriceable_request',
      param: 'model',
      message: expect.stringContaining('/v1/embeddings'),
    });
  });
});
