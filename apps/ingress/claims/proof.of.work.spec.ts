import { describe, expect, it } from '@jest/globals';
import { solveChallenge, type Challenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { pbkdf2Sync } from 'node:crypto';
import { loadConfig } from '#libs/config/config.js';
import { ProofOfWork } from './proof.of.work.js';

const env = { REDIS_URL: 'redis://127.0.0.1:6379', DAYPASS_SECRET: 'a'.repeat(64) };
const pow = new ProofOfWork(loadConfig('ingress', env));
const solve = async (challenge: Challenge) => ({
  challenge,
  solution: (await solveChallenge({ challenge, deriveKey }))!,
});

describe('a proof of work', () => {
  it('is solved with 200 to 400 tries, and checked without one', async () => {
    const proof = await solve(await pow.challenge('link', 0));
    expect(proof.solution.counter).toBeGreaterThanOrEqual(200);
    expect(proof.solution.counter).toBeLessThanOrEqual(400);
    const checked = await pow.check(proof, 'link', 0);
    expect(checked).toMatchObject({ ok: true, signature: proof.challenge.signature });
    expect(checked.ok && checked.lifeMs).toBeGreaterThan(590_000);
  });

  it('has the form that the docs of the class give to pages', async () => {
    const { parameters } = await pow.challenge('link', 0);
    const { nonce, salt, keyPrefix, cost, keyLength } = parameters;
    expect([cost, keyLength, parameters.algorithm, keyPrefix.length]).toEqual([500, 32, 'PBKDF2/SHA-256', 32]);
    const found = Array.from({ length: 401 }, (_, counter) => {
      const password = Buffer.concat([Buffer.from(nonce, 'hex'), Buffer.alloc(4)]);
      password.writeUInt32BE(counter, password.length - 4);
      return pbkdf2Sync(password, Buffer.from(salt, 'hex'), cost, keyLength, 'sha256').toString('hex');
    }).findIndex((key) => key.startsWith(keyPrefix));
    expect(found).toBeGreaterThanOrEqual(200);
  });

  it('is dearer by its step, and a page from before one step may still claim', async () => {
    const proof = await solve(await pow.challenge('link', 1));
    expect(proof.solution.counter).toBeGreaterThanOrEqual(800);
    expect(await pow.check(proof, 'link', 1)).toMatchObject({ ok: true });
    expect(await pow.check(proof, 'link', 2)).toEqual({ ok: false, why: 'too_easy' });
  });

  it('is refused where anything of it is not as it was given out', async () => {
    const proof = await solve(await pow.challenge('link', 0));
    const { challenge, solution } = proof;
    const changed = (parameters: object) => ({
      solution,
      challenge: { ...challenge, parameters: { ...challenge.parameters, ...parameters } },
    });
    const other = await solve(await pow.challenge('link', 0));
    const stranger = new ProofOfWork(loadConfig('ingress', { ...env, DAYPASS_SECRET: 'b'.repeat(64) }));
    const cases: [unknown, string][] = [
      [undefined, 'missing'],
      [{ challenge: {}, solution: {} }, 'wrong'],
      [{ challenge, solution: { counter: 1, derivedKey: '' } }, 'wrong'],
      [{ challenge, solution: other.solution }, 'wrong'],
      [{ challenge, solution: { ...solution, derivedKey: solution.derivedKey.toUpperCase() } }, 'wrong'],
      [changed({ expiresAt: challenge.parameters.expiresAt! + 1 }), 'wrong'],
      [changed({ data: { link: 'other', step: 0 } }), 'wrong'],
      [changed({ expiresAt: 1 }), 'expired'],
      [await solve(await pow.challenge('other', 0)), 'wrong'],
      [await solve(await stranger.challenge('link', 0)), 'wrong'],
    ];
    for (const [sent, why] of cases) expect(await pow.check(sent as never, 'link', 0)).toEqual({ ok: false, why });
  });
});
