import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { connect } from 'node:net';
import { inspect } from 'node:util';
import { drawPng } from '#libs/rehearsal/rehearsal.png.js';
import { wav } from '#libs/rehearsal/wav.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { Arena, MODEL } from './arena.js';
import { scenario } from './scenario.js';

const IMAGES = 'gpt-image-2';
const WHISPER = 'whisper-1';
const SPEAKS = 'gpt-4o-mini-tts';
const models = [IMAGES, WHISPER, SPEAKS, MODEL];
const SIZE = { size: '1024x1024', quality: 'low' };
const PICTURE = drawPng({ width: 64, height: 64, seed: 'a garden', padding: 600_000 });
/** A stream's events: three partial images, and the whole one. */
const EVENTS = 4;
const BOUNDARY = 'between-the-parts';

interface Got {
  status: number;
  text: string;
}

describe('pictures and sound', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_SHUTDOWN_DEADLINE_MS: '25000' } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  const keyOf = (moderation: object = { input: 'off', output: 'off' }): Promise<TestKey> =>
    arena.key('5.00', { campaign: { models, moderation } });
  const post = async (key: TestKey, path: string, body: string | FormData): Promise<Got> => {
    const headers = {
      authorization: `Bearer ${key.key}`,
      ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
    };
    const got: Got = { status: 0, text: '' };
    try {
      const answer = await fetch(`${arena.daypass.baseUrl}${path}`, { method: 'POST', headers, body });
      got.status = answer.status;
      const decoder = new TextDecoder();
      for await (const piece of answer.body as unknown as AsyncIterable<Uint8Array>)
        got.text += decoder.decode(piece, { stream: true });
    } catch (error) {
      got.text += `cut off: ${inspect(error)}`;
    }
    return got;
  };
  const draw = (key: TestKey, more: object = {}): Promise<Got> =>
    post(
      key,
      '/images/generations',
      JSON.stringify({ model: IMAGES, prompt: arena.signed(key, 'a garden'), ...SIZE, ...more }),
    );
  const STREAMED = { stream: true, partial_images: EVENTS - 1 };
  const formOf = (field: string, file: Uint8Array, type: string, fields: Record<string, string>): FormData => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append(field, new Blob([new Uint8Array(file)], { type }), 'file');
    return form;
  };
  const change = (key: TestKey): Promise<Got> =>
    post(
      key,
      '/images/edits',
      formOf('image', PICTURE, 'image/png', { model: IMAGES, prompt: arena.signed(key, 'at night'), ...SIZE }),
    );
  const filesInRedis = async (): Promise<string[]> => arena.redis.keys('{dp}:files:*');
  const nothingLeft = (): Promise<void> =>
    arena.until(async () => (await filesInRedis()).length === 0, 'no file is left in Redis', 60_000);

  scenario(35, 'kill -9 of forwarding in the middle of an image', { quick: true }, async () => {
    const key = await keyOf();
    let goOn = (): void => undefined;
    const paused = new Promise<void>((resolve) => (goOn = resolve));
    let isDrawn = false;
    arena.daypass.rehearsal.onImages = () => ({
      beforeEvent: (index) => {
        if (index < 2) return undefined;
        isDrawn = true;
        return paused;
      },
    });
    const call = draw(key, STREAMED);
    await arena.until(() => isDrawn, 'two images of the stream came');
    arena.daypass.services.kill('forwarding');
    const got = await call;
    goOn();
    expect(got.status === 200 ? got.text : `${got.status} ${got.text}`).toContain('upstream_outcome_unknown');
    arena.daypass.rehearsal.onImages = undefined;
    await arena.daypass.services.whenReady('forwarding');
    return `the stream ends with an error, presumed at its bound; ${await arena.holds()}`;
  });

  scenario(36, 'images cut in each of their parts, and without a usage', { quick: true }, async () => {
    const key = await keyOf({ input: 'off', output: 'window' });
    const told: string[] = [];
    for (let part = 0; part < EVENTS; part++) {
      arena.daypass.rehearsal.onImages = () => ({ cutInEvent: part });
      const { status, text } = await draw(key, STREAMED);
      told.push(status === 200 ? String(text.includes('event: error')) : String(status));
    }
    expect(told.every((one) => one === 'true' || one === '502')).toBe(true);
    arena.daypass.rehearsal.onImages = () => ({ cutInEvent: 0 });
    expect((await draw(key)).status).toBe(502);
    arena.daypass.rehearsal.onImages = () => ({ withoutUsage: true });
    expect((await draw(key)).status).toBe(200);
    expect((await draw(key, STREAMED)).status).toBe(200);
    arena.daypass.rehearsal.onImages = undefined;
    return `${EVENTS + 1} cut ones told, two without a usage shown, all booked once; ${await arena.holds()}`;
  });

  scenario(37, 'kill -9 of forwarding while a recording is heard, and while another is spoken', {}, async () => {
    const key = await keyOf();
    // Sound names no visitor upstream.
    arena.withoutUpstream.add(key.id);
    let goOn = (): void => undefined;
    const paused = new Promise<undefined>((resolve) => (goOn = () => resolve(undefined)));
    arena.daypass.rehearsal.onHeard = () => paused;
    const call = post(key, '/audio/transcriptions', formOf('file', wav(2), 'audio/wav', { model: WHISPER }));
    arena.daypass.rehearsal.onSpoken = () => ({ restAfter: paused });
    const speech = { model: SPEAKS, voice: 'alloy', input: 'Hello there, this is a rehearsal of speech.' };
    const speaking = await fetch(`${arena.daypass.baseUrl}/audio/speech`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(speech),
    });
    const spoken = speaking.body!.getReader();
    expect([speaking.status, (await spoken.read()).done]).toEqual([200, false]);
    await arena.until(() => arena.daypass.rehearsal.heardCalls().length === 1, 'the upstream hears it');
    arena.daypass.services.kill('forwarding');
    const { status, text } = await call;
    goOn();
    expect([status, text]).toEqual([502, expect.stringContaining('upstream_outcome_unknown')]);
    const rest = async (): Promise<void> => {
      while (!(await spoken.read()).done);
    };
    await expect(rest()).rejects.toThrow();
    arena.daypass.rehearsal.onHeard = undefined;
    arena.daypass.rehearsal.onSpoken = undefined;
    await arena.daypass.services.whenReady('forwarding');
    return `told, or ended short, presumed, not sent again; ${await arena.holds()}`;
  });

  scenario(38, 'kill -9 of moderation while it judges a picture that was sent', {}, async () => {
    const key = await keyOf({ input: 'gate', output: 'off' });
    let judged = 0;
    arena.daypass.rehearsal.onModeration = async (body) => {
      if (!JSON.stringify(body.input).includes('data:image') || judged++ > 0) return undefined;
      arena.daypass.services.kill('moderation');
      await new Promise((resolve) => setTimeout(resolve, 500));
      return undefined;
    };
    const got = await change(key);
    expect(judged).toBeGreaterThan(0);
    arena.daypass.rehearsal.onModeration = undefined;
    await arena.daypass.services.whenReady('moderation');
    expect([200, 503]).toContain(got.status);
    expect((await change(key)).status).toBe(200);
    await nothingLeft();
    return `answered with ${got.status}, no file is left; ${await arena.holds()}`;
  });

  // The last, because what it leaves behind stays for a while.
  scenario(39, 'kill -9 of ingress in the middle of an upload', {}, async () => {
    const key = await keyOf();
    const { hostname, port } = new URL(arena.daypass.baseUrl);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n`;
    socket.write(
      `POST /v1/images/edits HTTP/1.1\r\nhost: daypass\r\nauthorization: Bearer ${key.key}\r\n` +
        `content-type: multipart/form-data; boundary=${BOUNDARY}\r\ncontent-length: 9000000\r\n\r\n${head}`,
    );
    socket.write(PICTURE);
    await arena.until(async () => (await filesInRedis()).length > 0, 'a piece lies in Redis');
    arena.daypass.services.kill('ingress');
    await arena.daypass.services.whenReady('ingress');
    socket.destroy();
    const lives = await Promise.all((await filesInRedis()).map((name) => arena.redis.pttl(name)));
    expect(lives.length).toBeGreaterThan(0);
    for (const lifeMs of lives) expect(lifeMs).toBeGreaterThan(0);
    expect(await change(key)).toMatchObject({ status: 200 });
    const seconds = Math.ceil(Math.max(...lives) / 1_000);
    return `what was left ends by itself within ${seconds} s, the next upload goes through; ${await arena.holds()}`;
  });
});
