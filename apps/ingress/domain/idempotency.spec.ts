import { describe, expect, it } from '@jest/globals';
import { createSecretKey } from 'node:crypto';
import { DaypassError } from '#libs/contracts/errors.js';
import { idempotencyOf } from './idempotency.js';

const pepper = createSecretKey(Buffer.alloc(32, 7));
const request = {
  body: { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'a secret plan' }] },
  wish: { input: false, output: false },
};
const asked = JSON.stringify(request);

describe('an idempotency key', () => {
  it('is not needed', () => {
    expect(idempotencyOf(undefined, asked, pepper)).toBeUndefined();
  });

  it.each([
    ['nothing', ''],
    ['256 characters', 'x'.repeat(256)],
    ['an umlaut', 'schlüssel'],
    ['a line break', 'one\ntwo'],
    ['a NUL', 'a\0b'],
    ['a tab', 'a\tb'],
    ['an emoji', 'k\u{1f511}'],
  ])('that is %s is refused by name', (_, header) => {
    try {
      idempotencyOf(header, asked, pepper);
      throw new Error('it was taken');
    } catch (error) {
      expect(error).toBeInstanceOf(DaypassError);
      expect(error).toMatchObject({ code: 'invalid_request', status: 400, param: 'idempotency-key', retry: false });
    }
  });

  it.each(['a', 'x'.repeat(255), 'order 17: {"try": 1}', '~!@#$%^&*()'])('may be %j', (header) => {
    expect(idempotencyOf(header, asked, pepper)).toEqual({
      nameHash: expect.stringMatching(/^[\w-]{43}$/),
      fingerprint: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  it('is the same for the same, whatever the white space of the JSON was', () => {
    const again = JSON.stringify(JSON.parse(JSON.stringify(request, null, 4)));
    expect(idempotencyOf('one', again, pepper)).toEqual(idempotencyOf('one', asked, pepper));
  });

  it('tells names, bodies and wishes apart', () => {
    const one = idempotencyOf('one', asked, pepper)!;
    const two = idempotencyOf('two', asked, pepper)!;
    expect(two.nameHash).not.toBe(one.nameHash);
    expect(two.fingerprint).toBe(one.fingerprint);
    for (const other of [
      { ...request, wish: { input: true, output: false } },
      { ...request, body: { ...request.body, stream: true } },
      { ...request, body: { ...request.body, messages: [] } },
    ])
      expect(idempotencyOf('one', JSON.stringify(other), pepper)!.fingerprint).not.toBe(one.fingerprint);
  });

  it('shows neither the name nor the prompt, and nobody without the pepper can try prompts out', () => {
    const { nameHash, fingerprint } = idempotencyOf('my name', asked, pepper)!;
    expect(JSON.stringify({ nameHash, fingerprint })).not.toMatch(/my name|secret plan/);
    expect(idempotencyOf('my name', asked, createSecretKey(Buffer.alloc(32, 8)))!.fingerprint).not.toBe(fingerprint);
  });
});
