import { describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import type { DaypassConfig } from '#libs/config/config.js';
import { configFileSchema } from '#libs/config/config-file.js';
import type { CampaignState } from '#libs/contracts/key-state.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { PriceBook } from '#libs/money/prices.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Visitor } from '../door/authenticator.service.js';
import { CallQuoter } from './call.quoter.js';

const own = { input_usd_per_million: 1, output_usd_per_million: 1 };
const file = configFileSchema.parse({
  prices: { llama: own, cousin: { ...own, encoding: 'cl100k_base', tiers: { priority: 1.5 } } },
});
const limits = { minOutputTokens: 16, defaultOutputTokens: 4_096 };
const quoter = new CallQuoter(
  { file, limits } as unknown as DaypassConfig,
  new PriceBook(file.prices),
  new LaneTable(file),
);
const models = ['gpt-4', 'gpt-5.4-mini', 'gpt-5.5', 'llama', 'cousin'];
const visitor = { models, campaign: { tool_prices: {} } as unknown as CampaignState } as unknown as Visitor;
const quoteOf = (model: string, content: string, more: object = {}) =>
  quoter.quote(
    visitor,
    CHAT,
    CHAT.parse({ json: { model, messages: [{ role: 'user', content }], ...more }, blobs: [] }),
  );

const GEORGIAN = 'ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. '.repeat(20);

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
