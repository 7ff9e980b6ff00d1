import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { EDITS, GENERATIONS } from '#libs/endpoints/images/images.endpoint.js';
import { readUsage } from '#libs/endpoints/images/usage.js';
import { boundOf } from '#libs/money/bound.js';
import { costOf } from '#libs/money/cost.js';
import { countTextTokens } from '#libs/money/tokens.js';
import { planImages } from './rehearsal.images.js';
import { drawPng } from './rehearsal.png.js';

const picture = `data:image/png;base64,${drawPng({ width: 16, height: 16, seed: '' }).toString('base64')}`;
const rate = fc.integer({ min: 0, max: 100_000 });

describe('what images cost', () => {
  it('is never above what was held for them, whatever is asked for, at any price', async () => {
    const side = fc.integer({ min: 1, max: 240 }).map((steps) => steps * 16);
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          model: fc.constantFrom('gpt-image-2', 'gpt-image-2-2026-04-21', 'gpt-image-2.5-flare'),
          prompt: fc.string({ minLength: 1, maxLength: 200 }),
          n: fc.integer({ min: 1, max: 10 }),
          quality: fc.constantFrom('low', 'medium', 'high'),
        }),
        fc
          .tuple(side, side)
          .filter(([w, h]) => Math.max(w, h) <= 3 * Math.min(w, h) && w * h >= 655_360 && w * h <= 8_294_400),
        fc.integer({ min: 0, max: 16 }),
        fc.option(fc.integer({ min: 0, max: 3 })),
        fc.record({ input: rate, output: rate, imageInput: rate, imageOutput: rate }),
        async (basic, [width, height], inputs, partials, { input, ...rates }) => {
          const price: ModelPrice = { input, cachedInput: input, cacheWrite: input, ...rates };
          const images = Array.from({ length: inputs }, () => ({ image_url: picture }));
          const json = {
            ...basic,
            size: `${width}x${height}`,
            ...(partials === null ? {} : { n: 1, stream: true, partial_images: partials }),
            ...(inputs > 0 ? { images } : {}),
          };
          const endpoint = inputs > 0 ? EDITS : GENERATIONS;
          const request = endpoint.parse({ json, blobs: [] });
          const measured = await endpoint.measure(request, {
            countTokens: (texts) => countTextTokens(texts, 'o200k_base'),
            toolTokens: 0,
          });
          const plan = await planImages(inputs > 0 ? 'edits' : 'generations', json, []);
          if ('status' in plan) throw new Error(plan.error.message);
          const bill = costOf(price, readUsage(plan.usage, inputs > 0)!);
          const { fixedNano } = boundOf(price, measured, { tierPercent: 100, feeNano: 0n });
          expect(fixedNano >= bill).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
