import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI, { APIError, BadRequestError, toFile } from 'openai';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { drawPng } from '#libs/rehearsal/rehearsal.png.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-image-2';
const models = [model, 'gpt-5.4-mini'];
/** Of gpt-image-2, in nano-dollars a token. */
const [TEXT_NANO, READ_NANO, MADE_NANO] = [5_000, 8_000, 30_000];
const PNG_HEAD = 'iVBORw0KGgo';
/** 1024 × 1024: as OpenAI publishes the first. */
const TOKENS = { high: 7_024, medium: 1_756, low: 196 };
const prompt = 'A garden after rain';
const picture = drawPng({ width: 64, height: 64, seed: 'a garden' });
const dataUrl = `data:image/png;base64,${picture.toString('base64')}`;

type Usage = OpenAI.ImagesResponse.Usage;

describe('pictures', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey({ campaign: { models }, key: { budget_usd: '50' } });
    openai = clientOf(key);
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key: apiKey }: TestKey): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 2 });
  const keyWith = (moderation: object, campaign: object = {}): Promise<TestKey> =>
    daypass.createKey({ campaign: { models, moderation, ...campaign }, key: { budget_usd: '50' } });
  const sent = () => daypass.rehearsal.imagesCalls();
  const judgedImages = (): string[] =>
    JSON.stringify(daypass.rehearsal.moderationCalls().map(({ body }) => body.input)).match(/data:image[^"]*/g) ?? [];
  const costOf = ({ input_tokens_details: input, output_tokens: made }: Usage): number =>
    (input.text_tokens * TEXT_NANO + input.image_tokens * READ_NANO + made * MADE_NANO) / 1e9;
  const paidFor = async (requestId: string): Promise<number> =>
    Number((await booksAtRest(daypass)).find(({ request_id: id }) => id === requestId)!.paid) / 1e9;
  const imagesIn = ({ data = [] }: OpenAI.ImagesResponse): string[] => data.map(({ b64_json: image }) => image!);
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${daypass.baseUrl}/images/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  describe('that are made', () => {
    it('come to the official client once each has its verdict, and cost what their tokens cost', async () => {
      const { data, response } = await openai.images.generate({ model, prompt, n: 2, user: 'me' }).withResponse();
      expect(imagesIn(data)).toHaveLength(2);
      for (const image of imagesIn(data)) expect(image.startsWith(PNG_HEAD)).toBe(true);
      expect(judgedImages()).toEqual(imagesIn(data).map((image) => `data:image/png;base64,${image}`));
      expect(data).toMatchObject({ quality: 'medium', size: '1024x1024', usage: { output_tokens: 2 * TOKENS.medium } });
      expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
      expect(response.headers.get('x-daypass-adjusted')).toBe('user, size=1024x1024, quality=medium');
      expect(sent()[0]!.body).toMatchObject({
        model,
        prompt,
        n: 2,
        size: '1024x1024',
        quality: 'medium',
        moderation: 'auto',
      });
      expect(sent()[0]!.body).toMatchObject({ safety_identifier: expect.any(String) });
      expect(sent()[0]!.body).not.toHaveProperty('user');
      expect(Number(response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(costOf(data.usage!), 9);
      expect(await paidFor(response.headers.get('x-request-id')!)).toBeCloseTo(costOf(data.usage!), 9);
    });

    it('may be asked for as older clients ask', async () => {
      const asked = { model, prompt, response_format: 'b64_json', style: 'vivid', size: '1024x1024' } as const;
      const { data, response } = await openai.images.generate(asked).withResponse();
      expect(imagesIn(data)).toHaveLength(1);
      expect(response.headers.get('x-daypass-adjusted')).toBe('response_format, style, quality=medium');
    });

    it.each([
      ['Open WebUI', { model, prompt, n: 1, size: '1024x1024', response_format: 'b64_json' }],
      ['Open WebUI with the size left open', { model, prompt, n: 1, size: 'auto' }],
      [
        'LibreChat',
        { model, prompt, n: 1, size: 'auto', quality: 'auto', background: 'auto', output_format: 'png', user: 'u1' },
      ],
    ])('may be asked for as %s asks', async (_, body) => {
      const answer = await post('generations', body);
      expect(answer.status).toBe(200);
      expect(imagesIn((await answer.json()) as OpenAI.ImagesResponse)).toHaveLength(1);
    });

    it('are large, and whole all the same', async () => {
      daypass.rehearsal.onImages = () => ({ padding: 5_500_000 });
      const { data, response } = await openai.images.generate({ model, prompt, n: 4, quality: 'low' }).withResponse();
      expect(Number(response.headers.get('content-length'))).toBeGreaterThan(29_000_000);
      for (const [index, image] of imagesIn(data).entries())
        expect(image).toBe(
          drawPng({ width: 1024, height: 1024, seed: `${index} ${prompt}`, padding: 5_500_000 }).toString('base64'),
        );
    });

    it('are of the quality that the budget carries, and the answer tells which', async () => {
      const poor = await daypass.createKey({ campaign: key.campaign, key: { budget_usd: '0.02' } });
      const { data, response } = await clientOf(poor)
        .images.generate({ model, prompt, quality: 'auto' })
        .withResponse();
      expect(data.quality).toBe('low');
      expect(response.headers.get('x-daypass-adjusted')).toContain('quality=low');
      const asked = await errorOf(clientOf(poor).images.generate({ model, prompt, quality: 'high' }));
      expect(asked).toMatchObject({ status: 429, code: 'insufficient_quota' });
      const rich = await keyWith({}, { tool_prices: { images: { quality: 'high', max: 1 } } });
      expect((await clientOf(rich).images.generate({ model, prompt })).quality).toBe('high');
      const many = await errorOf(clientOf(rich).images.generate({ model, prompt, n: 2 }));
      expect(many).toMatchObject({ status: 400, param: 'n', message: expect.stringContaining('at most 1') });
    });

    it.each([
      [{ n: 0 }, 'n', /from 1 to 10/],
      [{ n: 5 }, 'n', /at most 4 images/],
      [{ size: '1000x1000' }, 'size', /multiples of 16/],
      [{ size: '4096x1024' }, 'size', /3 times/],
      [{ size: '256x256' }, 'size', /655360/],
      [{ quality: 'xhigh' }, 'quality', /no bound|nobody/i],
      [{ quality: 'hd' }, 'quality', /hd/],
      [{ response_format: 'url' }, 'response_format', /b64_json/],
      [{ output_format: 'gif' }, 'output_format', /webp/],
      [{ svg: { model: 'x' } }, 'svg', /png/],
      [{ frame_count: 3 }, 'frame_count', /moving/],
      [{ complexity: 'high' }, 'complexity', /Leave it out/],
      [{ stream: true, n: 2 }, 'n', /one image/],
      [{ partial_images: 2 }, 'partial_images', /stream/],
      [{ stream: true, partial_images: 4 }, 'partial_images', /from 0 to 3/],
      [{ prompt: 'x'.repeat(32_001) }, 'prompt', /32000/],
      [{ model: 'gpt-5.4-mini' }, 'model', /image/],
    ])('are refused by name, case %#', async (wrong, param, message) => {
      const answer = await post('generations', { model, prompt, ...wrong });
      const { error } = (await answer.json()) as { error: { param: string; message: string } };
      expect([answer.status, error.param]).toEqual([400, param]);
      expect(error.message).toMatch(message);
      expect(sent()).toEqual([]);
    });

    it('are not made of words that moderation refuses', async () => {
      const error = await errorOf(openai.images.generate({ model, prompt: `Please ${FLAGGED_PHRASE}` }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ code: 'moderation_blocked', type: 'image_generation_user_error', param: 'prompt' });
      expect(error.error).toMatchObject({
        moderation_details: { categories: ['violence'], moderation_stage: 'input' },
        daypass: { direction: 'input' },
      });
      expect(sent()).toEqual([]);
    });

    it('are shown without those that moderation takes away, and not at all where it takes all', async () => {
      daypass.rehearsal.onImages = () => ({ flagged: [1], revisedPrompt: 'A wet garden' });
      const { data, response } = await openai.images.generate({ model, prompt, n: 3 }).withResponse();
      expect(imagesIn(data)).toHaveLength(2);
      expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=redacted');
      expect(Number(response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(costOf(data.usage!), 9);

      daypass.rehearsal.onImages = () => ({ flagged: [0, 1] });
      const fresh = await keyWith({});
      const error = await errorOf(clientOf(fresh).images.generate({ model, prompt, n: 2 }));
      expect(error).toMatchObject({ status: 400, code: 'moderation_blocked', type: 'image_generation_user_error' });
      expect(error.error).toMatchObject({
        moderation_details: { categories: ['violence'], moderation_stage: 'output' },
      });
      expect(Number(error.headers!.get('x-daypass-cost-usd'))).toBeGreaterThan(0);
      const asked = sent().length;
      // Whoever asks again pays nothing, and no upstream hears of it.
      const again = await errorOf(clientOf(fresh).images.generate({ model, prompt, n: 2 }));
      expect(again).toMatchObject({ status: 400, code: 'moderation_blocked' });
      expect(Number(again.headers!.get('x-daypass-cost-usd'))).toBe(0);
      expect(sent()).toHaveLength(asked);
    });

    it('cost their bound where nobody says what they cost, and where the answer breaks off', async () => {
      daypass.rehearsal.onImages = () => ({ withoutUsage: true });
      const { data, response } = await openai.images.generate({ model, prompt, quality: 'low' }).withResponse();
      expect(data.usage).toBeUndefined();
      const least = (TOKENS.low * MADE_NANO) / 1e9;
      const paid = await paidFor(response.headers.get('x-request-id')!);
      expect(paid).toBeGreaterThan(least);
      expect(paid).toBeLessThan(1.5 * least);

      daypass.rehearsal.onImages = () => ({ cutInEvent: 0 });
      const error = await errorOf(openai.images.generate({ model, prompt, quality: 'low' }, { maxRetries: 0 }));
      expect(error).toMatchObject({ status: 502, code: 'upstream_outcome_unknown' });
      expect(await paidFor(error.requestID!)).toBeCloseTo(paid, 9);
    });

    it('that are none are not shown', async () => {
      daypass.rehearsal.onImages = () => ({ base64: Buffer.from('no picture').toString('base64') });
      const error = await errorOf(openai.images.generate({ model, prompt }, { maxRetries: 0 }));
      expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    });
  });

  describe('that come as a stream', () => {
    const stream = (client: OpenAI, partials = 3) =>
      client.images.generate({ model, prompt, quality: 'low', stream: true, partial_images: partials });

    it.each(['window', 'trail'])('are shown one after the other under %s, each after its verdict', async (output) => {
      const judged = await keyWith({ output });
      const seen: string[] = [];
      // Each but the first comes only when the visitor has the one before.
      const shown = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
      daypass.rehearsal.onImages = () => ({ beforeEvent: (index) => shown[index - 1]?.promise });
      for await (const event of await stream(clientOf(judged))) {
        expect(judgedImages()).toContain(`data:image/png;base64,${event.b64_json}`);
        shown[seen.length]!.resolve();
        seen.push(event.type);
      }
      expect(seen).toEqual([...Array<string>(3).fill('image_generation.partial_image'), 'image_generation.completed']);
    });

    it('come all together under gate, with usage and cost', async () => {
      const { data, response } = await stream(openai).withResponse();
      const events: OpenAI.ImageGenStreamEvent[] = [];
      for await (const event of data) events.push(event);
      expect(events.map(({ type }) => type)).toHaveLength(4);
      const { usage } = events.at(-1) as OpenAI.ImageGenCompletedEvent;
      expect(usage.output_tokens).toBe(TOKENS.low + 300);
      expect(await paidFor(response.headers.get('x-request-id')!)).toBeCloseTo(costOf(usage), 9);
    });

    it('end with an error at the first that is flagged; those before it are shown', async () => {
      const judged = await keyWith({ output: 'window' });
      daypass.rehearsal.onImages = () => ({ flagged: [2] });
      const seen: string[] = [];
      const error = (await (async () => {
        for await (const event of await stream(clientOf(judged))) seen.push(event.type);
      })().catch((thrown: unknown) => thrown)) as APIError;
      expect(seen).toEqual(Array<string>(2).fill('image_generation.partial_image'));
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ code: 'moderation_blocked', type: 'image_generation_user_error' });
      expect(error.error).toMatchObject({ moderation_details: { moderation_stage: 'output' } });
      expect(sent()).toHaveLength(1);
    });

    it('are large, and whole all the same', async () => {
      const judged = await keyWith({ output: 'window' });
      daypass.rehearsal.onImages = () => ({ padding: 5_000_000 });
      const sizes: number[] = [];
      for await (const event of await stream(clientOf(judged), 2)) {
        expect(event.b64_json.startsWith(PNG_HEAD)).toBe(true);
        sizes.push(event.b64_json.length);
      }
      expect(sizes).toHaveLength(3);
      expect(Math.min(...sizes)).toBeGreaterThan(6_600_000);
    });

    it('that break off in the middle of a picture cost their bound', async () => {
      const judged = await keyWith({ output: 'window' });
      const shown = Promise.withResolvers<void>();
      const beforeEvent = (index: number): Promise<void> | undefined => (index === 1 ? shown.promise : undefined);
      daypass.rehearsal.onImages = () => ({ cutInEvent: 1, beforeEvent });
      const { data, response } = await stream(clientOf(judged)).withResponse();
      const seen: string[] = [];
      const error = await (async () => {
        for await (const event of data) {
          seen.push(event.type);
          shown.resolve();
        }
      })().catch((thrown: unknown) => thrown);
      expect(seen).toEqual(['image_generation.partial_image']);
      expect(error).toMatchObject({ code: 'upstream_outcome_unknown' });
      expect(await paidFor(response.headers.get('x-request-id')!)).toBeGreaterThan((TOKENS.low * MADE_NANO) / 1e9);
    });
  });

  describe('that are edited', () => {
    const file = (name = 'a.png', bytes: Buffer = picture) => toFile(bytes, name, { type: 'text/plain' });
    const filesOf = (call = 0) => sent()[call]!.files.map(({ field, type, content }) => [field, type, content.length]);

    it('come with the official client: one, two, and a mask', async () => {
      const { data, response } = await openai.images.edit({ model, prompt, image: await file() }).withResponse();
      expect(imagesIn(data)).toHaveLength(1);
      expect(filesOf()).toEqual([['image', 'image/png', picture.length]]);
      expect(sent()[0]!.body).toMatchObject({ model, prompt, size: '1024x1024', quality: 'medium' });
      expect(judgedImages()).toContain(dataUrl);
      expect(await paidFor(response.headers.get('x-request-id')!)).toBeCloseTo(costOf(data.usage!), 9);
      const mask = await file('m.png');
      const two = await openai.images.edit({ model, prompt, image: [await file(), await file('b.png')], mask, n: 2 });
      expect(imagesIn(two)).toHaveLength(2);
      expect(filesOf(1)).toEqual([
        ['image[]', 'image/png', picture.length],
        ['image[]', 'image/png', picture.length],
        ['mask', 'image/png', picture.length],
      ]);
      expect(sent()[1]!.body).toMatchObject({ n: 2 });
    });

    it.each([
      ['Open WebUI', ['image'], { n: '1', size: '1024x1024' }],
      ['Open WebUI with several', ['image[]', 'image[]'], { n: '1', size: 'auto' }],
      ['LibreChat', ['image[]', 'image[]'], { quality: 'auto', size: 'auto', user: 'u1' }],
    ])('come as %s sends them, with files before or after fields', async (_, names, fields) => {
      for (const filesFirst of [true, false]) {
        const form = new FormData();
        const addFiles = (): void => {
          for (const name of names) form.append(name, new Blob([new Uint8Array(picture)], { type: 'image/png' }), 'a');
        };
        if (filesFirst) addFiles();
        for (const [name, text] of Object.entries({ model, prompt, ...fields })) form.append(name, text);
        if (!filesFirst) addFiles();
        const headers = { authorization: `Bearer ${key.key}` };
        const answer = await fetch(`${daypass.baseUrl}/images/edits`, { method: 'POST', headers, body: form });
        expect(answer.status).toBe(200);
        expect(imagesIn((await answer.json()) as OpenAI.ImagesResponse)).toHaveLength(1);
      }
      expect(sent().map(({ files }) => files.length)).toEqual([names.length, names.length]);
    });

    it('come as a stream', async () => {
      const seen: string[] = [];
      const edit = { model, prompt, image: await file(), stream: true, partial_images: 2, quality: 'low' } as const;
      for await (const event of await openai.images.edit(edit)) seen.push(event.type);
      expect(seen).toEqual(['image_edit.partial_image', 'image_edit.partial_image', 'image_edit.completed']);
      expect(sent()[0]!.body).toMatchObject({ stream: true, partial_images: 2 });
    });

    it('are not made of a picture that moderation refuses', async () => {
      const flagged = drawPng({ width: 64, height: 64, seed: 'x', flagged: true });
      const error = await errorOf(openai.images.edit({ model, prompt, image: await file('a.png', flagged) }));
      expect(error).toMatchObject({ status: 400, code: 'moderation_blocked', type: 'image_generation_user_error' });
      expect(sent()).toEqual([]);
    });

    it('are refused by name where a file is no picture, or there are too many', async () => {
      const edit = async (more: object): Promise<unknown> =>
        openai.images.edit({ model, prompt, image: await file(), ...more });
      const none = await errorOf(edit({ image: await file('a.png', Buffer.from('no picture')) }));
      expect(none).toMatchObject({ status: 400, param: 'image', message: expect.stringContaining('first bytes') });
      const many = await Promise.all(Array.from({ length: 17 }, () => file()));
      expect(await errorOf(edit({ image: many }))).toMatchObject({ status: 400, param: 'image' });
      const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(100)]);
      expect(await errorOf(edit({ mask: await file('m.png', jpeg) }))).toMatchObject({ status: 400, param: 'mask' });
      expect(await errorOf(edit({ n: 0 }))).toMatchObject({ status: 400, param: 'n' });
      expect(await errorOf(edit({ markup: await file() }))).toMatchObject({ status: 400, param: 'markup' });
      expect(sent()).toEqual([]);
    });

    it('come as JSON, as Codex sends them, and are judged before the upstream has them', async () => {
      const answer = await post('edits', {
        model,
        prompt,
        images: [{ image_url: dataUrl }],
        mask: { image_url: dataUrl },
      });
      expect(answer.status).toBe(200);
      const data = (await answer.json()) as OpenAI.ImagesResponse;
      expect(imagesIn(data)).toHaveLength(1);
      expect(data.usage!.input_tokens_details.image_tokens).toBeGreaterThan(0);
      expect(judgedImages().filter((url) => url === dataUrl)).not.toEqual([]);
      expect(sent()[0]).toMatchObject({ path: 'edits', body: { images: [{ image_url: dataUrl }] } });
      expect(await paidFor(answer.headers.get('x-request-id')!)).toBeCloseTo(costOf(data.usage!), 9);
      const flagged = drawPng({ width: 64, height: 64, seed: 'x', flagged: true }).toString('base64');
      const refused = await post('edits', {
        model,
        prompt,
        images: [{ image_url: `data:image/png;base64,${flagged}` }],
      });
      expect(await refused.json()).toMatchObject({ error: { code: 'moderation_blocked' } });
      expect(sent()).toHaveLength(1);
    });

    it.each([
      [{}, 'image', /required/],
      [{ images: Array(17).fill({ image_url: dataUrl }) }, 'images', /at most 16/],
      [{ images: [{ file_id: 'file_1' }] }, 'images[0].file_id', /operator's account/],
      [{ images: [{ image_url: `data:image/png;base64,${btoa('no picture')}` }] }, 'images[0].image_url', /no image/],
      [{ images: [{ image_url: dataUrl }], markup: 'x' }, 'markup', /mask/],
    ])('are refused by name, case %#', async (wrong, param, message) => {
      const answer = await post('edits', { model, prompt, ...wrong });
      const { error } = (await answer.json()) as { error: { param: string; message: string } };
      expect([answer.status, error.param]).toEqual([400, param]);
      expect(error.message).toMatch(message);
      expect(sent()).toEqual([]);
    });
  });

  describe('in a response', () => {
    const text = 'gpt-5.4-mini';
    const tool = { type: 'image_generation' } as const;
    const input = 'Make an image of a garden after rain';
    const drawnIn = ({ output }: OpenAI.Responses.Response) =>
      output.find(({ type }) => type === 'image_generation_call');
    /** Of the model that writes, of the one that draws: its words cost as its images do. */
    const costsOf = ({ usage, tool_usage: tools }: OpenAI.Responses.Response): number =>
      (usage!.input_tokens * 750 +
        usage!.output_tokens * 4_500 +
        tools!.image_gen.input_tokens * READ_NANO +
        tools!.image_gen.output_tokens * MADE_NANO) /
      1e9;
    const shown = () => daypass.rehearsal.responsesCalls().at(-1)!.body;

    it('are drawn by a model of the key, judged with what is written of them, and cost what their tokens cost', async () => {
      const { data, response } = await openai.responses.create({ model: text, input, tools: [tool] }).withResponse();
      expect(drawnIn(data)).toMatchObject({ result: expect.stringMatching(PNG_HEAD), status: 'completed' });
      expect(judgedImages()).toEqual([`data:image/png;base64,${(drawnIn(data) as { result: string }).result}`]);
      const adjusted = response.headers.get('x-daypass-adjusted');
      expect(adjusted).toContain('tools.image_generation.quality=medium');
      expect(shown()).toMatchObject({ max_tool_calls: 1, tools: [{ ...tool, model, size: '1024x1024' }] });
      expect(Number(response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(costsOf(data), 9);
      expect(await paidFor(response.headers.get('x-request-id')!)).toBeCloseTo(costsOf(data), 9);
      // The next turn has the image, though the shelf keeps it once.
      const kept = await openai.responses.retrieve(data.id);
      expect(drawnIn(kept)).toEqual(drawnIn(data));
      const next = { model: text, previous_response_id: data.id, input: 'Make the image blue', tools: [tool] };
      expect(drawnIn(await openai.responses.create(next))).toBeDefined();
      expect(JSON.stringify(shown().input)).toContain((drawnIn(data) as { result: string }).result);
    });

    it.each(['gate', 'window', 'trail'])('stream their parts, each after its verdict: %s', async (output) => {
      const client = clientOf(await keyWith({ output }));
      const tools = [{ ...tool, partial_images: 2, quality: 'low' as const }];
      const stream = client.responses.stream({ model: text, input, tools });
      const partials: string[] = [];
      stream.on('response.image_generation_call.partial_image', (event) => partials.push(event.partial_image_b64));
      const final = await stream.finalResponse();
      const { result } = drawnIn(final) as { result: string };
      expect(new Set([...partials, result]).size).toBe(3);
      expect(judgedImages().toSorted()).toEqual(
        [...partials, result].map((one) => `data:image/png;base64,${one}`).toSorted(),
      );
      await booksAtRest(daypass);
    });

    it.each(['gate', 'window', 'trail'])(
      'end the answer where one is flagged, and it is not shown: %s',
      async (output) => {
        const client = clientOf(await keyWith({ output }));
        const tools = [{ ...tool, partial_images: 1, quality: 'low' as const }];
        daypass.rehearsal.onResponses = () => ({ flaggedImages: [1] });
        let partials = 0;
        const stream = client.responses.stream({ model: text, input, tools });
        stream.on('response.image_generation_call.partial_image', () => void partials++);
        const final = await stream.finalResponse();
        expect(final).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'content_filter' } });
        expect(partials).toBe(output === 'gate' ? 0 : 1);
        expect(JSON.stringify(final.output)).not.toContain(PNG_HEAD);
        daypass.rehearsal.onResponses = () => ({ flaggedImages: [0] });
        const whole = await client.responses.create({ model: text, input: `${input}, whole`, tools: [tool] });
        expect(whole).toMatchObject({ status: 'incomplete', output: [] });
        await booksAtRest(daypass);
      },
    );

    it('are left out for a key that has no model of images, and refused where nothing else is asked', async () => {
      const plain = clientOf(await daypass.createKey({ campaign: { models: [text] } }));
      const weather = { type: 'function' as const, name: 'get_weather', strict: false, parameters: {} };
      const { data, response } = await plain.responses
        .create({ model: text, input: 'Say hello', tools: [tool, weather] })
        .withResponse();
      expect(data.status).toBe('completed');
      expect(response.headers.get('x-daypass-adjusted')).toContain('tools.image_generation');
      expect(shown().tools).toMatchObject([weather]);
      expect(await errorOf(plain.responses.create({ model: text, input, tools: [tool] }))).toMatchObject({
        status: 400,
        code: 'unpriceable_request',
        param: 'tools',
      });
    });
  });
});
