import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { callHash } from './call-hash.js';

const pepper = createSecretKey(Buffer.alloc(32, 1));

describe('the hash of a call', () => {
  it('is the same for the same call only, and short', () => {
    const hash = callHash({ facts: {} }, '{"model":"m"}', pepper);
    expect(hash).toMatch(/^[\w-]{43}$/);
    expect(callHash({ facts: {} }, '{"model":"m"}', pepper)).toBe(hash);
    const others = [
      callHash({ facts: { codex: true } }, '{"model":"m"}', pepper),
      callHash({ facts: {} }, '{"model":"n"}', pepper),
      callHash({ facts: {} }, '{"model":"m"}', createSecretKey(Buffer.alloc(32, 2))),
    ];
    expect(new Set([hash, ...others]).size).toBe(4);
  });
});
