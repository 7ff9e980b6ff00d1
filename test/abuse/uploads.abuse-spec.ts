import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { drawPng } from '#libs/rehearsal/rehearsal.png.js';
import { wav } from '#libs/rehearsal/wav.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { Abuse, expectHarmless } from './abuse.js';
import { flood } from './flood.js';

const IMAGES = 'gpt-image-2';
const WHISPER = 'whisper-1';
const MIB = 1_048_576;
/** Just below the largest form that ingress takes. Of twice the samples a second, so that it is short enough. */
const SOUND = wav(780);
SOUND.writeUInt32LE(64_000, 28);
const BOUNDARY = 'between-the-parts';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
/** Two at once would be more than a key may keep. */
const EVERY_MS = 500;
const OPEN_UPLOADS = 80;
/** Of each upload that never ends. */
const OPEN_BYTES = 600_000;
/** What else would end the attack soon. */
const BYTES_PER_HOUR = 1_000_000_000_000;
const LIMIT_MS = 120_000;
const OFF = { input: 'off', output: 'off' };

const part = (name: string, content: string | Uint8Array, filename?: string): Buffer =>
  Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"` +
        `${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
    ),
    Buffer.from(content as Uint8Array),
    Buffer.from('\r\n'),
  ]);
const END = Buffer.from(`--${BOUNDARY}--\r\n`);

describe('a visitor who uploads', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
  }, 60_000);
  afterAll(() => abuse?.stop());

  const keyOf = (moderation: object = OFF): Promise<TestKey> =>
    abuse.key('5.00', {
      campaign: { models: [IMAGES, WHISPER], moderation, key_defaults: { limits: { bytes_per_hour: BYTES_PER_HOUR } } },
    });
  const filesInRedis = async (): Promise<number> => (await abuse.redis.keys('{dp}:files:*')).length;
  const change = async ({ key }: TestKey): Promise<number> => {
    const form = new FormData();
    const fields = { model: IMAGES, prompt: 'at night', size: '1024x1024', quality: 'low' };
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append('image', new Blob([new Uint8Array(drawPng({ width: 64, height: 64, seed: 'a' }))]), 'a.png');
    const headers = { authorization: `Bearer ${key}` };
    const answer = await fetch(`${abuse.daypass.baseUrl}/images/edits`, { method: 'POST', headers, body: form });
    await answer.arrayBuffer();
    return answer.status;
  };

  it.each([
    [
      'sounds of a flagged prompt',
      [part('model', WHISPER), part('prompt', `Please ${FLAGGED_PHRASE}`), part('file', SOUND, 'a.wav'), END],
      { input: 'gate', output: 'off' },
      '400',
    ],
    [
      'sounds of a model that the key has not',
      [part('file', SOUND, 'a.wav'), part('model', 'whisper-9'), END],
      OFF,
      '404',
    ],
    ['sounds in a form without an end', [part('model', WHISPER), part('file', SOUND, 'a.wav')], OFF, '400'],
  ] as const)(
    'the largest forms without a pause, %s, keeps nobody waiting',
    async (name, parts, moderation, expected) => {
      const attacker = await keyOf(moderation);
      const body = Buffer.concat(parts);
      let counts: Record<string, number> = {};
      const report = await abuse.measure(name, {
        attacker,
        attack: async (signal) => {
          counts = await flood(signal, {
            origin: new URL(abuse.daypass.baseUrl).origin,
            paths: ['/v1/audio/transcriptions'],
            headers: { authorization: `Bearer ${attacker.key}`, 'content-type': TYPE },
            body,
            atOnce: 1,
            everyMs: EVERY_MS,
          });
        },
      });
      const told = Object.keys(counts).filter((status) => status !== 'over');
      expect(new Set(told)).toEqual(new Set([expected]));
      await until('nothing of it is left in Redis', async () => (await filesInRedis()) === 0);
      expectHarmless(report);
      expect(report.redisBytes).toBeLessThan(64 * MIB);
      expect(report.paidUsd).toBe('0.00');
    },
    LIMIT_MS,
  );

  it(
    'pictures that never end takes no place that another needs',
    async () => {
      const [attacker, another] = [await keyOf(), await keyOf()];
      const sockets: Socket[] = [];
      const { hostname, port } = new URL(abuse.daypass.baseUrl);
      const begin = Buffer.concat([part('model', IMAGES), part('image', Buffer.alloc(OPEN_BYTES, 7), 'a.png')]);
      let others = 0;
      const report = await abuse.measure('uploads that never end', {
        attacker,
        attack: async (signal) => {
          for (let n = 0; n < OPEN_UPLOADS && !signal.aborted; n++) {
            const socket = connect(Number(port), hostname);
            socket.on('error', () => undefined).resume();
            socket.write(
              `POST /v1/images/edits HTTP/1.1\r\nhost: daypass\r\nauthorization: Bearer ${attacker.key}\r\n` +
                `content-type: ${TYPE}\r\ncontent-length: 25000000\r\n\r\n`,
            );
            socket.write(begin.subarray(0, -8));
            sockets.push(socket);
          }
          while (!signal.aborted) {
            for (const socket of sockets) if (socket.writable) socket.write('x');
            if ((await change(another)) === 200) others++;
            await sleep(200);
          }
        },
      });
      for (const socket of sockets) socket.destroy();
      expect(others).toBeGreaterThan(0);
      expect(await change(another)).toBe(200);
      await until('nothing of them is left in Redis', async () => (await filesInRedis()) === 0);
      expectHarmless(report);
      expect(report.redisBytes).toBeLessThan(64 * MIB);
      expect(report.paidUsd).toBe('0.00');
    },
    LIMIT_MS,
  );
});
