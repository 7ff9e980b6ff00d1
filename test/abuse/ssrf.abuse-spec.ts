import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisKeys } from '#libs/redis/keys.js';
import { Abuse, expectHarmless } from './abuse.js';
import { EvilServer, type Answer } from './evil-server.js';

const ATTACK_LIMIT_MS = 120_000;
const PAUSE_MS = 100;
const MIB = 1_048_576;
const BYTES_PER_HOUR = 64 * MIB;
/** Of one key: so many calls fetch at once, each so many images. */
const CONNECTIONS_MAX = 3 * 4;
const LATE = 3;

describe('a visitor who makes Daypass fetch', () => {
  let abuse: Abuse;
  /** A service of the operator's own network. It must never hear of a visitor. */
  let inside: Server;
  /** The attacker's own server, which stands for any public one. */
  let evil: EvilServer;
  let heardInside: string[];

  beforeAll(async () => {
    heardInside = [];
    inside = createServer((request, response) => {
      heardInside.push(request.url!);
      response.end('the secret');
    });
    await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', () => resolve()));
    abuse = await Abuse.share();
    evil = await EvilServer.start(Number(abuse.daypass.env.DAYPASS_IMAGE_HOSTS_ALLOWED!.split(':')[1]));
  }, 60_000);
  afterAll(async () => {
    await abuse?.stop();
    await evil?.stop();
    inside?.closeAllConnections();
    inside?.close();
  });

  const ask = async (key: string, urls: string[], signal?: AbortSignal): Promise<{ status: number; text: string }> => {
    const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5.4-mini',
        max_tokens: 20,
        messages: [{ role: 'user', content: urls.map((url) => ({ type: 'image_url', image_url: { url } })) }],
      }),
      ...(signal ? { signal } : {}),
    });
    return { status: response.status, text: await response.text() };
  };
  const evilUrls = (images: number): string[] =>
    Array.from({ length: images }, () => `http://127.0.0.1:${evil.port}/${Math.random()}`);

  it('reaches nothing of a private network, and learns of nothing that is there', async () => {
    const attacker = await abuse.key('1.00');
    const { port } = inside.address() as AddressInfo;
    const redis = new URL(abuse.daypass.redisUrl);
    const ways = [
      `http://127.0.0.1:${port}/`,
      `http://localhost:${port}/`,
      `http://127.1:${port}/`,
      `http://2130706433:${port}/`,
      `http://[::1]:${port}/`,
      `http://[::ffff:7f00:1]:${port}/`,
      `http://user@127.0.0.1:${port}/`,
      `http://127.0.0.1:${redis.port || 6379}/`,
      'http://169.254.169.254/latest/meta-data/',
      'http://metadata.google.internal/',
    ];
    for (const url of ways) expect(await ask(attacker.key, [url])).toMatchObject({ status: 400 });
    const told = new Set<string>();
    for (const location of [...ways, 'http://10.0.0.1/', `https://127.0.0.1:${port}/`, 'ftp://127.0.0.1/', '//']) {
      await evil.answer({ redirect: location });
      const { status, text } = await ask(attacker.key, evilUrls(1));
      expect(status).toBe(400);
      told.add(text);
    }
    // One answer for all: nobody learns from the difference what is there.
    expect(told.size).toBe(1);
    expect(heardInside).toEqual([]);
    expect(await abuse.spentUsd(attacker)).toBe('0.00');
  }, 60_000);

  /** Calls at once: as many as a key may have in line, or few where each ends at once and the next one follows. */
  const attacks: [string, Answer, number][] = [
    ['servers that do not answer', 'silence', 33],
    ['images without an end', 'pour', 8],
    ['images in crumbs', 'crumbs', 8],
    ['servers that switch to another protocol', 'switch', 8],
    ['servers that always have one more thing to say before they answer', 'interim', 8],
  ];
  it.each(attacks)(
    'from %s slows down no other, and has a bound',
    async (name, answer, atOnce) => {
      await evil.answer(answer);
      const attacker = await abuse.key('1.00');
      const report = await abuse.measure(name, {
        attacker,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: atOnce }, async () => {
              while (!signal.aborted) {
                await ask(attacker.key, evilUrls(20), signal).catch(() => undefined);
                // Calls without a pause are another test's.
                await sleep(PAUSE_MS);
              }
            }),
          ),
      });
      expectHarmless(report);
      const { mostOpen, poured } = await evil.counts();
      expect(mostOpen).toBeGreaterThan(0);
      // A server that pours hears late of a hang-up. Without a bound there would be twenty for each call.
      expect(mostOpen).toBeLessThanOrEqual(LATE * CONNECTIONS_MAX);
      // What the sockets hold comes on top.
      expect(poured).toBeLessThan(1.5 * BYTES_PER_HOUR);
      expect(Number(report.paidUsd)).toBe(0);
      const hours = await abuse.redis.keys(redisKeys.fetched(attacker.id, '*'));
      for (const hour of hours) expect(Number(await abuse.redis.get(hour))).toBeLessThanOrEqual(BYTES_PER_HOUR);
    },
    ATTACK_LIMIT_MS,
  );
});
