import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';
import { dataUrlOf, startImageServer, type ImageServer } from './image.server.js';

const model = 'gpt-5.4-mini';
const PARAM = 'messages[0].content[1].image_url.url';
const MOST_BYTES = 100_000;
const TIMEOUT_MS = 1_000;

describe('an image that a request names by its address', () => {
  let daypass: Daypass;
  let images: ImageServer;

  beforeAll(async () => {
    images = await startImageServer();
    daypass = await startDaypass({
      env: {
        DAYPASS_IMAGE_HOSTS_ALLOWED: images.host,
        DAYPASS_IMAGE_MAX_BYTES: String(MOST_BYTES),
        DAYPASS_IMAGE_TIMEOUT_MS: String(TIMEOUT_MS),
        DAYPASS_MAX_REMOTE_IMAGES: '3',
      },
    });
  });
  afterAll(async () => {
    await daypass?.stop();
    await images?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    images.asked.splice(0);
    images.answers.clear();
  });

  const keyWith = (moderation?: object, key?: object): Promise<TestKey> =>
    daypass.createKey({ campaign: moderation ? { moderation } : {}, ...(key ? { key: { moderation: key } } : {}) });
  const ask = ({ key }: TestKey, ...urls: string[]) =>
    new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 }).chat.completions.create({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            ...urls.map((url) => ({ type: 'image_url' as const, image_url: { url } })),
          ],
        },
      ],
    });
  const urlsIn = (value: unknown): string[] => JSON.stringify(value).match(/(data:image|https?:)[^"]*/g) ?? [];
  const judged = (): string[] => urlsIn(daypass.rehearsal.moderationCalls().map((call) => call.body.input));
  const sent = (): string[] => urlsIn(daypass.rehearsal.chatCalls().map((call) => call.body.messages));

  it.each(['gate', 'parallel', 'observe'])(
    'is fetched once under %s, and the model sees the picture that was judged',
    async (input) => {
      const key = await keyWith({ input, output: 'off' });
      await ask(key, `http://${images.host}/changing`);
      expect(images.asked).toEqual(['/changing']);
      expect(sent()).toEqual([dataUrlOf(1)]);
      await until('it is judged', () => judged().length > 0);
      expect(judged()).toEqual([dataUrlOf(1)]);
    },
  );

  it('goes on by its address where nobody judges, and is fetched where the visitor asks for a verdict', async () => {
    const key = await keyWith({ input: 'off', output: 'off' });
    const url = `http://${images.host}/a`;
    await ask(key, url);
    expect(images.asked).toEqual([]);
    expect(sent()).toEqual([url]);
    daypass.rehearsal.reset();
    await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        moderateInput: true,
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
      }),
    }).then((response) => response.text());
    expect(sent()).toEqual([dataUrlOf(1)]);
    expect(judged()).toEqual([dataUrlOf(1)]);
  });

  it.each([{ input: 'gate' }, { input: 'off' }])('is not at an address that is not public (%p)', async (moderation) => {
    const key = await keyWith(moderation);
    for (const url of ['http://169.254.169.254/latest', 'http://localhost/a.png', 'https://[::1]/a.png']) {
      expect(await errorOf(ask(key, url))).toMatchObject({ status: 400, code: 'invalid_request', param: PARAM });
    }
    expect(daypass.rehearsal.chatCalls()).toEqual([]);
  });

  it.each([
    [{ input: 'gate', images: 'data' }, undefined],
    [{ input: 'off', images: 'data' }, undefined],
    [{ input: 'gate' }, { input: 'gate', images: 'data' }],
    [
      { input: 'gate', images: 'data' },
      { input: 'gate', images: 'fetch' },
    ],
  ])('is refused where campaign %p or key %p takes data: only', async (campaign, own) => {
    const key = await keyWith(campaign, own);
    expect(await errorOf(ask(key, dataUrlOf(0), `http://${images.host}/a`))).toMatchObject({
      status: 400,
      code: 'invalid_request',
      param: 'messages[0].content[2].image_url.url',
      message: expect.stringContaining('data:'),
    });
    expect(images.asked).toEqual([]);
    await ask(key, dataUrlOf(0));
    expect(sent()).toEqual([dataUrlOf(0)]);
  });

  it.each<[string, () => void, string, RegExp]>([
    ['is a page', () => serve((response) => response.end('<html>admin</html>')), 'not_an_image', /no png/],
    ['is not there', () => serve((response) => response.writeHead(404).end()), 'unreachable', /not public/],
    [
      'leads to the metadata of a cloud',
      () => serve((response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()),
      'unreachable',
      /not public/,
    ],
    ['has no end', () => serve((response) => pour(response)), 'too_large', /100000 bytes/],
    ['does not answer', () => serve(() => undefined), 'too_slow', /1 seconds/],
  ])('that %s is a 400 that names it, costs nothing and reaches no model', async (_, prepare, image, said) => {
    prepare();
    const key = await keyWith();
    const error = await errorOf(ask(key, `http://${images.host}/a?secret`));
    expect(error).toMatchObject({
      status: 400,
      code: 'invalid_request',
      param: PARAM,
      message: expect.stringMatching(said),
      error: { daypass: { image } },
    });
    expect(error.message).not.toContain('secret');
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.chatCalls()).toEqual([]);
    expect(judged()).toEqual([]);
    const { body } = await daypass.admin(`/admin/v1/keys/${key.id}`);
    expect(body).toMatchObject({ spent_usd: '0.00', held_usd: '0.00' });
    await booksAtRest(daypass);
  });

  it('is one of a few', async () => {
    const key = await keyWith();
    const urls = [1, 2, 3, 4].map((number) => `http://${images.host}/${number}`);
    expect(await errorOf(ask(key, ...urls))).toMatchObject({ status: 400, param: 'messages' });
    await ask(key, ...urls.slice(1), dataUrlOf(9));
    expect(sent()).toHaveLength(4);
  });

  function serve(answer: Parameters<ImageServer['answers']['set']>[1]): void {
    images.answers.set('/a', answer);
  }

  function pour(response: Parameters<Parameters<ImageServer['answers']['set']>[1]>[0]): void {
    response.write(Buffer.from('GIF89a and more'));
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  }
});
