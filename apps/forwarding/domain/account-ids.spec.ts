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
    'http://vllm:8000/v1',
    'gpu-node-7:9000',
    '[fd00::1]:8000',
    'mycorp-prod.openai.azure.com',
    'ft:gpt-4o:my-company::AbC12345',
    'org\u2011AbC123456789xyzABC',
  ])("is not %s of the visitor's own request", (theirs) => {
    const text = `cannot read ${theirs} there`;
    expect(withoutIds(text, (found) => `please read ${theirs}`.includes(found))).toBe(text);
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
    ['a URL of one word', 'POST http://vllm:8000/v1, refused', 'POST [removed], refused'],
    ['a URL of a public name', 'POST "https://llm.my-company.com/v1?a=b": EOF', 'POST "[removed]": EOF'],
    ['a URL of another scheme', 'grpc://triton:8001.', '[removed].'],
    ['a URL with a password', 'https://a:b@github.com/x', '[removed]'],
    ['a name that only begins as a public one', 'https://openai.com.my-company.com/x', '[removed]'],
    ['a host and its port', 'dial gpu-node-7:9000: refused', 'dial [removed]: refused'],
    ['a host of one word and its port', 'connect to vllm:8000/v1 failed', 'connect to [removed] failed'],
    ['a host of a public name and its port', 'llm.my-company.com:443', '[removed]'],
    ['an IPv6 address and its port', 'dial tcp [fd00::1]:8000: refused', 'dial tcp [removed]: refused'],
    ['a URL of an IPv6 address', 'http://[fd00::1]:8000/v1 is gone', '[removed] is gone'],
    ['a host at a cloud', 'mycorp-prod.openai.azure.com is gone', '[removed] is gone'],
    ['an id in capitals', 'See ORG-ABC123456789XYZABC.', 'See [removed].'],
    ['an id with another dash', 'See org\u2011AbC123456789xyzABC.', 'See [removed].'],
    ['an id with other dashes', 'See Sk\u2013proj\u2010AbC123456789xyzABC\u2014', 'See [removed]\u2014'],
    ['the organisation of a model', 'no ft:gpt-4o:my-company::AbC12345.', 'no [removed].'],
  ])('is also %s', (_, text, shown) => expect(clean(text)).toBe(shown));

  it.each([
    'See https://platform.openai.com/docs/guides/error-codes for user_lookup, user_name and key_points.',
    'Use asst_instructions_for_the_second_half instead.',
    'temperature must be below 2.0, top_p at most 1.0',
    'my-org-name, desk-sk-lamp and org_chart are words of somebody',
    'At 12:30, 2026-11-26T12:30:45Z, the ratio was 3:1 and 1920:1080, foo:bar, Note:12, std::vec and a[::2] or [1:10:2].',
    'limit:30000, tokens:4096, max_tokens:4096, {"max":8000}, llama3.1:8b, qwen2.5:72, node:22, arn:aws:s3:123456789012',
    'A dash \u2014 like this \u2013 or key\u2014word, USER_LOOKUP, Key_Points, Org-Chart, ft: 12 and left:right stay.',
    'See openai.com, or https://learn.microsoft.com/en-us/azure. More at https://aka.ms/oai/quotaincrease.',
    'The model `gpt-5.4-mini-2026-03-17` has a context of 400,000 tokens.',
  ])('is nothing of: %s', (text) => expect(clean(text)).toBe(text));

  it('is read up to a bound only, whatever the text', () => {
    for (const unit of [
      'org-',
      'a-',
      'a.',
      'sk-*',
      '0-',
      '1.',
      'key_a',
      'http://a.',
      'a:1',
      'a://',
      '[a:',
      'ft:a:',
      'a:80/',
      'org\u2011',
    ])
      expect(clean(unit.repeat(1_000_000)).length).toBeLessThan(30_000);
  });
});
