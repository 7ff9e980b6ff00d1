import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { writtenBody } from '../body.js';
import { RESPONSES } from './responses.endpoint.js';

const LARGE = 1_000_000;
const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'cache' } as const;
const random = (characters: number): string => randomBytes(characters / 2).toString('hex');
const valid = { model: 'gpt-5.4-mini', input: 'Hello' };
const message = { type: 'message', role: 'assistant' };

/** What goes upstream, and what Daypass keeps for the answer, is what the record keeps. */
function recorded(json: object): string {
  return writtenBody(RESPONSES.forwarded(RESPONSES.parse({ json, blobs: [] }), FORCED));
}

describe('what the record keeps of a request for a response', () => {
  it.each([
    ['client_metadata', { client_metadata: random(LARGE) }],
    [
      'annotations',
      { input: [{ ...message, content: [{ type: 'output_text', text: '', annotations: [random(LARGE)] }] }] },
    ],
    ['logprobs', { input: [{ ...message, content: [{ type: 'output_text', text: '', logprobs: [random(LARGE)] }] }] }],
    [
      'what Codex keeps',
      { input: [{ ...message, content: '', internal_chat_message_metadata_passthrough: random(LARGE) }] },
    ],
  ])('has nothing of %s, which no model reads', (_, beside) => {
    expect(recorded({ ...valid, ...beside }).length).toBeLessThan(600);
  });

  it.each([
    ['metadata', { metadata: { page: random(LARGE) } }],
    ['user', { user: random(LARGE) }],
    ['safety_identifier', { safety_identifier: random(LARGE) }],
    ['prompt_cache_key', { prompt_cache_key: random(LARGE) }],
    ['previous_response_id', { previous_response_id: random(LARGE) }],
    ['the size of an image', { tools: [{ type: 'image_generation', size: random(LARGE) }, { type: 'apply_patch' }] }],
    ['the id of an item', { input: [{ ...message, content: '', id: random(LARGE) }] }],
  ])('has no more of %s than a name needs', (_, beside) => {
    expect(() => recorded({ ...valid, ...beside })).toThrow(DaypassError);
  });

  it('has little of what the answer shows again', () => {
    const pairs = Array.from({ length: 16 }, () => [random(64), random(512)]);
    const full = {
      ...valid,
      metadata: Object.fromEntries(pairs),
      prompt_cache_key: random(256),
      previous_response_id: random(128),
    };
    expect(recorded(full).length).toBeLessThan(12_000);
  });
});
