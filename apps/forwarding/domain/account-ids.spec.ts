import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nobodys, withoutIds } from './account-ids.js';

const clean = (text: string): string => withoutIds(text, nobodys);
const PREFIXES = ['org-', 'proj_', 'sk-', 'sk-proj-', 'user-', 'key_', 'req_', 'asst_', 'acct_'];

const letter = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const random = (unit: string, minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...unit), minLength, maxLength });
/** As providers make ids: many characters of the alphabet and of the digits. */
const id = fc
  .tuple(fc.constantFrom(...PREFIXES), random(letter + '0123456789', 20, 48))
  .filter(([, rest]) => /\d/.test(rest))
  .map(([prefix, rest]) => prefix + rest);
/** As people name functions and fields. */
const name = fc
  .tuple(
    fc.constantFrom('user', 'key', 'req', 'org', 'proj', 'sk', 'asst', 'acct'),
    fc.constantFrom('_', '-'),
    fc.array(random('abcdefghijklmnopqrstuvwxyz', 1, 14), { minLength: 1, maxLength: 4 }),
  )
  .map(([prefix, joint, words]) => `${prefix}${joint}${words.join('_')}`);
const around = fc.constantFrom(['', ''], ["'", "'"], ['"', '".'], ['(', ')'], [' ', ', '], ['=', ';'], ['/', '/']);

describe('what is taken out of an error', () => {
  it('is every id of the account, wherever it stands', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(id, around), { minLength: 1, maxLength: 5 }), fc.lorem(), (ids, words) => {
        const text = ids.map(([one, [before, after]]) => `${words} ${before}${one}${after}`).join(' ');
        const cleaned = clean(text);
        for (const [one] of ids) expect(cleaned).not.toContain(one);
        expect(cleaned.match(/\[removed\]/g)).toHaveLength(ids.length);
      }),
    );
  });

  it('is no name that somebody gave to a function or a field', () => {
    fc.assert(
      fc.property(name, around, (one, [before, after]) => expect(clean(`${before}${one}${after}`)).toContain(one)),
    );
  });

  it("is nothing of the visitor's own request", () => {
    fc.assert(
      fc.property(id, fc.lorem(), (one, words) => {
        const request = JSON.stringify({ messages: [{ role: 'user', content: `${words} ${one}` }] });
        const text = `no such thing: ${one}.`;
        expect(withoutIds(text, (found) => request.includes(found))).toBe(text);
      }),
    );
  });

  it.each([
    [
      'a key that is shown in part',
      'Incorrect API key provided: sk-abc***xyz.',
      'Incorrect API key provided: [removed]',
    ],
    ['a key with stars alone', 'key sk-proj-********************AbCd is wrong', 'key [removed] is wrong'],
    ['a short key of a test', 'key sk-live-123456!', 'key [removed]!'],
    ['an id before a full stop', 'See org-A1b2C3d4E5f6G7h8.', 'See [removed].'],
    ['a UUID', 'subscription 0f8fad5b-d9cb-469f-a165-70867728950e', 'subscription [removed]'],
    ['an address in the network', 'dial tcp 10.0.0.5:8000: refused', 'dial tcp [removed]: refused'],
    ['a host in the network', 'http://vllm.models.svc.internal:8000/v1 is gone', '[removed] is gone'],
  ])('is also %s', (_, text, shown) => expect(clean(text)).toBe(shown));

  it.each([
    'See https://platform.openai.com/docs/guides/error-codes for user_lookup, user_name and key_points.',
    'Use asst_instructions_for_the_second_half instead.',
    'temperature must be below 2.0, top_p at most 1.0',
    'my-org-name, desk-sk-lamp and org_chart are words of somebody',
    'The model `gpt-5.4-mini-2026-03-17` has a context of 400,000 tokens.',
  ])('is nothing of: %s', (text) => expect(clean(text)).toBe(text));

  it('is read up to a bound only, whatever the text', () => {
    for (const unit of ['org-', 'a-', 'a.', 'sk-*', '0-', '1.', 'key_a', 'http://a.'])
      expect(clean(unit.repeat(1_000_000)).length).toBeLessThan(30_000);
  });
});
