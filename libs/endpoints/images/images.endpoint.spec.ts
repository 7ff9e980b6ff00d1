import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Blob, CountingTools, Endpoint, Request } from '../endpoint.js';
import { EDITS, GENERATIONS } from './images.endpoint.js';

const tools: CountingTools = { countTokens: (texts) => Promise.resolve(texts.join('').length), toolTokens: 0 };
const terms = { images: { max: 4, quality: 'medium' as const }, drawing: { models: [], max: 1 } };
const asked = (more: object = {}): Request =>
  GENERATIONS.parse({ json: { model: 'gpt-image-2', prompt: 'A garden', ...more }, blobs: [] });
const blob = (field: string, more: Partial<Blob> = {}): Blob => ({
  ref: field,
  bytes: 100,
  type: 'image/png',
  field,
  ...more,
});
const edited = (blobs: readonly Blob[], more: object = {}): Request =>
  EDITS.parse({ json: { model: 'gpt-image-2', prompt: 'A garden', ...more }, blobs });
const refusal = (work: () => unknown): { param: string | undefined; message: string } => {
  try {
    work();
  } catch (error) {
    if (error instanceof DaypassError) return { param: error.param, message: error.message };
    throw error;
  }
  throw new Error('nothing was refused');
};
const sentBy = (endpoint: Endpoint, request: Request, drops: string[] = []) =>
  endpoint.call(
    endpoint.forwarded(request, { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: '' }),
    { capTokens: 0, facts: {} },
    { kind: 'compatible', drops, tag: '' },
  );

describe('what an image costs at most', () => {
  it.each([
    ['high', '1024x1024', 7_024],
    ['high', '1024x1536', 5_488],
    ['medium', '1024x1024', 1_756],
    ['low', '1024x1024', 196],
  ])('is what OpenAI says: %s, %s', async (quality, size, tokens) => {
    const { most, estimate, pace } = await GENERATIONS.measure(asked({ quality, size, n: 3 }), tools);
    expect(most).toMatchObject({ imageOutput: 3 * tokens });
    expect(most.input).toBeGreaterThan(estimate.input!);
    expect(pace).toEqual({ images: 3 });
  });

  it('is that of the highest quality where nobody has chosen one', async () => {
    expect((await GENERATIONS.measure(asked(), tools)).most.imageOutput).toBe(7_024);
  });

  it('has partial images, images that the model reads, and its plan', async () => {
    const partial = await GENERATIONS.measure(asked({ quality: 'low', stream: true, partial_images: 3 }), tools);
    expect(partial.most.imageOutput).toBe(196 + 300);
    const edit = await EDITS.measure(
      edited([blob('image[]'), blob('image[]'), blob('mask')], { quality: 'low' }),
      tools,
    );
    expect(edit.most).toMatchObject({ imageInput: 24_000, imageOutput: 196 });
    const planned = await GENERATIONS.measure(asked({ model: 'gpt-image-2.5-flare', n: 2 }), tools);
    expect(planned.most.output).toBe(16_000);
    expect(partial.most.output).toBeUndefined();
  });

  it('is what its operator says of any other model, and otherwise unknown', async () => {
    const other = asked({ model: 'flux', n: 2 });
    await expect(GENERATIONS.measure(other, tools)).rejects.toMatchObject({ code: 'unpriceable_request' });
    const { most } = await GENERATIONS.measure(other, { ...tools, imageTokensPerImage: 1_000 });
    expect(most.imageOutput).toBe(2_000);
  });
});

describe('the forms of a request', () => {
  const qualities = (request: Request, more: object = {}): unknown[] =>
    GENERATIONS.forms!(request, { ...terms, images: { ...terms.images, ...more } }).map(
      ({ body }) => (body.json as { quality: string }).quality,
    );

  it('are cheaper and cheaper where it leaves the quality open, and each tells its own', () => {
    expect(qualities(asked())).toEqual(['medium', 'low']);
    expect(qualities(asked({ quality: 'auto' }), { quality: 'high' })).toEqual(['high', 'medium', 'low']);
    expect(GENERATIONS.forms!(asked({ size: '1536x1024' }), terms).map(({ adjusted }) => adjusted)).toEqual([
      ['quality=medium'],
      ['quality=low'],
    ]);
  });

  it('are one where it names a quality, whatever its campaign prefers', () => {
    expect(qualities(asked({ quality: 'high' }), { quality: 'low' })).toEqual(['high']);
  });

  it('are none where it asks for too many images', () => {
    expect(refusal(() => qualities(asked({ n: 5 })))).toMatchObject({ param: 'n' });
    expect(qualities(asked({ n: 5, quality: 'low' }), { max: 10 })).toEqual(['low']);
  });
});

describe('an edit', () => {
  it('takes files of a form, whose numbers are strings', () => {
    const { body, facts } = edited([blob('image')], { n: '2', output_compression: '50', output_format: 'jpeg' });
    expect(body.json).toMatchObject({ n: 2, output_compression: 50 });
    expect(facts.inputImages).toBe(1);
    expect(edited([blob('image')], { stream: 'true', partial_images: '1' }).stream).toBe(true);
    expect(refusal(() => edited([blob('image')], { n: 'two' }))).toMatchObject({ param: 'n' });
  });

  it('judges each file, and sends images before the mask, under the names that upstreams know', () => {
    const request = edited([blob('mask'), blob('image[0]'), blob('image[1]')]);
    expect(EDITS.input(request.body)).toEqual([
      { kind: 'text', text: 'A garden' },
      { kind: 'image', url: 'blob:mask' },
      { kind: 'image', url: 'blob:image[0]' },
      { kind: 'image', url: 'blob:image[1]' },
    ]);
    const { form, body } = sentBy(EDITS, request);
    expect([form, body.blobs.map(({ field }) => field)]).toEqual(['multipart', ['image[]', 'image[]', 'mask']]);
    expect(sentBy(EDITS, edited([blob('image[]')])).body.blobs[0]!.field).toBe('image');
  });

  it.each([
    [[blob('image', { type: '' })], 'image', /first bytes/],
    [[blob('image', { type: 'image/gif' })], 'image', /first bytes/],
    [[blob('image', { bytes: 20_000_001 })], 'image', /20000000/],
    [Array.from({ length: 17 }, () => blob('image[]')), 'image', /at most 16/],
    [[blob('image'), blob('mask'), blob('mask')], 'mask', /one mask/],
    [[blob('image'), blob('mask', { type: 'image/jpeg' })], 'mask', /png/],
    [[blob('image'), blob('other')], 'other', /no file/],
    [[blob('mask')], 'image', /required/],
    [[], 'image', /required/],
  ])('refuses files by the name of their field, case %#', (blobs, param, message) => {
    const refused = refusal(() => edited(blobs));
    expect(refused.param).toBe(param);
    expect(refused.message).toMatch(message);
  });

  it('takes images as files or by their addresses, and not both', () => {
    const images = [{ image_url: 'https://example.org/a.png' }];
    expect(edited([], { images }).remoteImages).toBe(1);
    expect(refusal(() => edited([blob('image')], { images }))).toMatchObject({ param: 'images' });
  });
});

describe('what goes on', () => {
  it('has what Daypass sets, and lacks what an upstream does not know, unless it would be another request', () => {
    const request = asked({ moderation: 'low', user: 'me', background: 'opaque', n: 2 });
    expect(request.adjusted).toEqual(['user', 'moderation', 'size=1024x1024']);
    expect(sentBy(GENERATIONS, request).body.json).toEqual({
      model: 'gpt-image-2',
      prompt: 'A garden',
      background: 'opaque',
      n: 2,
      size: '1024x1024',
      moderation: 'auto',
      safety_identifier: 'visitor',
    });
    const { body, dropped } = sentBy(GENERATIONS, request, ['moderation', 'background', 'n']);
    expect(body.json).not.toHaveProperty('moderation');
    expect(body.json).toHaveProperty('n');
    expect(dropped).toEqual(['background']);
  });
});
