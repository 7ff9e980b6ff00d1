import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { writtenBody } from '../body.js';
import { CHAT } from './chat.endpoint.js';

const LARGE = 1_000_000;
const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'cache' } as const;
const random = (characters: number): string => randomBytes(characters / 2).toString('hex');
const valid = { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'Hello' }] };

/** What goes upstream is what the record keeps. */
function recorded(json: object): string {
  const request = CHAT.parse({ json, blobs: [] });
  return writtenBody(CHAT.forwarded(request, FORCED)).toString();
}

describe('what the record keeps of a chat request', () => {
  it.each([
    ['user', { user: random(LARGE) }],
    ['safety_identifier', { safety_identifier: random(LARGE) }],
    ['metadata', { metadata: { page: random(LARGE) } }],
    ['client_metadata', { client_metadata: random(LARGE) }],
    ['session_id', { session_id: random(LARGE) }],
    ['annotations', { messages: [{ role: 'user', content: 'Hello', annotations: [random(LARGE)] }] }],
    ['the id of a message', { messages: [{ role: 'user', content: 'Hello', id: random(LARGE) }] }],
    ['cache_control', { messages: [{ role: 'user', content: 'Hello', cache_control: random(LARGE) }] }],
  ])('has nothing of %s, which no model reads', (_, beside) => {
    expect(recorded({ ...valid, ...beside }).length).toBeLessThan(500);
  });

  it('has little that nobody judges and that costs nothing', () => {
    const part = {
      type: 'text',
      text: '',
      prompt_cache_breakpoint: { mode: 'explicit', ttl: '30m' },
    };
    const parts = Array.from({ length: 2_000 }, () => part);
    const bias = Array.from({ length: 2_048 }, (_, token) => [1_000_000 + token, 200 * Math.random() - 100]);
    const full = {
      ...valid,
      messages: Array.from({ length: 8 }, () => ({ role: 'user', content: parts })),
      logit_bias: Object.fromEntries(bias),
    };
    const written = recorded(full);
    expect(written.length).toBeGreaterThan(LARGE);
    // The record is compressed.
    expect(deflateRawSync(written).length).toBeLessThan(65_536);
  });
});
