import { describe, expect, it } from '@jest/globals';
import { configFileSchema } from '#libs/config/config-file.js';
import type { Meter } from './cost.js';
import { PriceBook } from './prices.js';

const TEXT_INPUT = ['input', 'cached', 'cacheWrite'] as const;
const TEXT = [...TEXT_INPUT, 'output'] as const;

describe('prices', () => {
  const book = new PriceBook({});

  it('come from the package in whole nano-dollars per token, cached input at its own', () => {
    expect(book.find('gpt-5.4-mini')).toEqual({
      price: { input: 750, cachedInput: 75, cacheWrite: 750, output: 4_500 },
      meters: new Set(TEXT),
      chats: true,
      maxOutputTokens: 128_000,
      tiers: { default: 100, flex: 50, priority: 200, fast: 200 },
      encoding: 'o200k_base',
      searches: false,
    });
  });

  it('know the dearer rates of long context', () => {
    expect(book.find('gpt-5.4')?.price.long).toEqual({
      input: 5_000,
      cachedInput: 500,
      cacheWrite: 5_000,
      output: 22_500,
      aboveTokens: 271_999,
    });
  });

  it.each([
    'no-such-model',
    'o4-mini-deep-research',
    'omni-moderation-latest',
    'tts-1',
    'toString',
    'constructor',
    '__proto__',
  ])('are not known for %s, so that it is refused', (model) => {
    expect(book.find(model)).toBeNull();
  });

  it.each([
    ['text-embedding-3-small', 20],
    ['text-embedding-3-large', 130],
    ['text-embedding-ada-002', 100],
  ])('of %s have an input only', (model, input) => {
    expect(book.find(model)).toEqual({
      price: { input, cachedInput: input, cacheWrite: input, output: 0 },
      meters: new Set(TEXT_INPUT),
      chats: false,
      maxOutputTokens: null,
      tiers: { default: 100 },
      encoding: 'cl100k_base',
      searches: false,
    });
  });

  it("of the operator's may leave the output out", () => {
    const { prices } = configFileSchema.parse({ prices: { mine: { input_usd_per_million: 1 } } });
    expect(new PriceBook(prices).find('mine')).toMatchObject({
      price: { input: 1_000, output: 0 },
      meters: new Set(TEXT_INPUT),
    });
  });

  it.each<[string, object, Meter[]]>([
    ['whisper-1', { input: 0, output: 0, seconds: 100_000 }, ['seconds']],
    ['gpt-transcribe', { input: 0, output: 0, seconds: 75_000 }, ['seconds']],
    ['gpt-4o-transcribe', { input: 2_500, output: 10_000, audioInput: 6_000 }, ['audioInput', ...TEXT]],
    ['gpt-4o-mini-transcribe', { input: 1_250, output: 5_000, audioInput: 3_000 }, ['audioInput', ...TEXT]],
    // The list calls its sound plain output.
    ['gpt-4o-mini-tts', { input: 600, output: 12_000, audioOutput: 12_000 }, ['audioOutput', ...TEXT]],
    [
      'gpt-image-1.5',
      { input: 5_000, output: 10_000, imageInput: 8_000, imageOutput: 32_000 },
      ['imageInput', 'imageOutput', ...TEXT],
    ],
    // The list calls their images plain output.
    [
      'gpt-image-2',
      { input: 5_000, output: 30_000, imageInput: 8_000, imageOutput: 30_000 },
      ['imageInput', 'imageOutput', ...TEXT],
    ],
    [
      'gpt-image-1-mini',
      { input: 2_000, output: 8_000, imageInput: 2_500, imageOutput: 8_000 },
      ['imageInput', 'imageOutput', ...TEXT],
    ],
  ])('of %s are those of images, sound and seconds', (model, price, meters) => {
    const priced = book.find(model)!;
    expect(priced.price).toMatchObject(price);
    expect(new Set(priced.meters)).toEqual(new Set(meters));
    expect(priced.chats).toBe(false);
  });

  it('of an output that the list does not price are not made up: a chat of sound may be dearer than text', () => {
    const { price, meters } = book.find('gpt-4o-audio-preview')!;
    expect(price).not.toHaveProperty('audioOutput');
    expect(meters.has('audioOutput')).toBe(false);
  });

  it('of images, sound, hours and characters come from the operator, rounded up', () => {
    const { prices } = configFileSchema.parse({
      prices: {
        painter: { image_output_usd_per_million: '32', image_input_usd_per_million: 8, image_tokens_per_image: 4_096 },
        listener: { usd_per_hour: '0.36' },
        odd: { usd_per_hour: '0.0000001' },
        speaker: { usd_per_million_characters: 15 },
        chatter: { audio_input_usd_per_million: 32, audio_output_usd_per_million: 64 },
      },
    });
    const own = new PriceBook(prices);
    const found = (model: string) => ({ ...own.find(model)!.price, meters: [...own.find(model)!.meters] });
    const none = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 };
    expect(found('painter')).toEqual({
      ...none,
      ...{ imageInput: 8_000, imageOutput: 32_000, imageTokensPerImage: 4_096 },
      meters: ['imageInput', 'imageOutput'],
    });
    expect(found('listener')).toEqual({ ...none, seconds: 100_000, meters: ['seconds'] });
    expect(found('odd')).toMatchObject({ seconds: 1 });
    expect(found('speaker')).toEqual({ ...none, characters: 15_000, meters: ['characters'] });
    expect(found('chatter')).toMatchObject({ audioInput: 32_000, audioOutput: 64_000 });
  });

  it('of an output need that of the input beside it', () => {
    const read = configFileSchema.safeParse({ prices: { mine: { output_usd_per_million: 1, usd_per_hour: 1 } } });
    expect(read.error?.issues).toMatchObject([
      { path: ['prices', 'mine', 'input_usd_per_million'], message: expect.stringContaining('output_usd_per_million') },
    ]);
  });

  it.each([{}, { max_output_tokens: 5 }, { image_tokens_per_image: 5 }])(
    'of nothing are refused by name: %j',
    (price) => {
      const read = configFileSchema.safeParse({ prices: { mine: price } });
      expect(read.error?.issues[0]?.message).toMatch(/needs at least one of input_usd_per_million, .*usd_per_hour/);
    },
  );

  it.each(['gpt-4o-search-preview', 'gpt-4o-mini-search-preview'])(
    'say that %s searches the web, for a fee beside its tokens',
    (model) => {
      expect(book.find(model)?.searches).toBe(true);
    },
  );

  it("give way to the operator's own", () => {
    const { prices } = configFileSchema.parse({
      prices: {
        'gpt-5.4-mini': { input_usd_per_million: 1, output_usd_per_million: '2.5' },
        mine: { input_usd_per_million: '0.0001', output_usd_per_million: 0, max_output_tokens: 10 },
      },
    });
    const own = new PriceBook(prices);
    expect(own.find('gpt-5.4-mini')?.price).toEqual({
      input: 1_000,
      cachedInput: 1_000,
      cacheWrite: 1_000,
      output: 2_500,
    });
    // A tenth of a nano-dollar is rounded up: never below what the provider charges.
    expect(own.find('mine')).toEqual({
      price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 0 },
      meters: new Set(TEXT),
      chats: true,
      maxOutputTokens: 10,
      tiers: { default: 100 },
      encoding: 'bytes',
      searches: false,
    });
  });

  it.each([
    ['gpt-5.5', { flex: 50, priority: 250 }],
    ['gpt-5.5-2026-04-23', { flex: 50, priority: 250 }],
    ['gpt-5-mini', { flex: 50, priority: 180 }],
    ['gpt-4o-2024-05-13', { priority: 175 }],
    ['gpt-4o-2024-08-06', { priority: 170 }],
    ['gpt-4', {}],
    ['gpt-5.4-nano', { flex: 50 }],
  ])('of the tiers of %s are those that OpenAI published for it, and no others', (model, tiers) => {
    const { fast, priority, ...rest } = book.find(model)!.tiers;
    expect({ ...rest, ...(priority ? { priority } : {}) }).toEqual({ default: 100, ...tiers });
    expect(fast).toBe(priority);
  });

  it("of tiers are the operator's own where the model's price is", () => {
    const { prices } = configFileSchema.parse({
      prices: {
        'gpt-5.5': {
          input_usd_per_million: 5,
          cache_write_usd_per_million: 6.25,
          output_usd_per_million: 30,
          tiers: { fast: 2.501, flex: 0.5 },
        },
        mine: { input_usd_per_million: 1, output_usd_per_million: 1, encoding: 'cl100k_base' },
      },
    });
    const own = new PriceBook(prices);
    expect(own.find('gpt-5.5')?.tiers).toEqual({ default: 100, flex: 50, priority: 251, fast: 251 });
    expect(own.find('gpt-5.5')?.price.cacheWrite).toBe(6_250);
    expect(own.find('mine')).toMatchObject({ tiers: { default: 100 }, encoding: 'cl100k_base' });
  });

  it.each([{ turbo: 2 }, { priority: 0 }, { priority: 1_000 }, { default: 1 }])('take no tier like %j', (tiers) => {
    const prices = { mine: { input_usd_per_million: 1, output_usd_per_million: 1, tiers } };
    expect(configFileSchema.safeParse({ prices }).success).toBe(false);
  });
});
