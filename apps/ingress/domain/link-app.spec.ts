import { describe, expect, it } from '@jest/globals';
import { isRedirectPattern, mayRedirectTo, readRedirectUri } from '#libs/contracts/redirect-uris.js';
import { fitsChallenge, readApp, redirectOf, showApp } from './link-app.js';

/** Of RFC 7636, appendix B. */
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
const ALLOWED = ['https://app.example/start?x=1', 'http://localhost:*', 'http://127.0.0.1:*/callback'];
const ask = (changes: object = {}) => ({
  redirect_uri: 'http://localhost:3000/callback',
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
  state: 'a b',
  ...changes,
});

describe('an address that an app gets its code at', () => {
  it.each([
    'https://app.example/start?x=1',
    'HTTPS://APP.example:443/start?x=1',
    'http://localhost:3000/any/path?q',
    'http://localhost/',
    'http://127.0.0.1:65000/callback',
  ])('%s is allowed', (uri) => expect(mayRedirectTo(readRedirectUri(uri)!, ALLOWED)).toBe(true));

  it.each([
    'https://app.example/start',
    'https://app.example/start?x=1&y=2',
    'https://app.example/start/?x=1',
    'http://app.example/start?x=1',
    'https://app.example.evil.example/start?x=1',
    'https://localhost:3000/',
    'http://localhost.evil.example:3000/',
    'http://127.0.0.1:3000/other',
    'http://127.0.0.1.evil.example/callback',
  ])('%s is not', (uri) => expect(mayRedirectTo(readRedirectUri(uri)!, ALLOWED)).toBe(false));

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    '//app.example/start?x=1',
    'app://callback',
    'https://app.example/start?x=1#',
    'http://user@localhost:3000/',
    'http://localhost:3000@evil.example/',
    'http://localhost:*/',
    'http://localhost:3000.evil.example/',
    `http://localhost/${'x'.repeat(2_000)}`,
  ])('%s is none', (uri) => expect(readRedirectUri(uri)).toBeNull());

  it('may be a pattern of this machine only', () => {
    for (const pattern of [...ALLOWED, 'http://[::1]:*']) expect(isRedirectPattern(pattern)).toBe(true);
    for (const pattern of ['https://localhost:*', 'http://evil.example:*', 'http://*', 'http://localhost:*/*', '*', ''])
      expect(isRedirectPattern(pattern)).toBe(false);
  });
});

describe('an app that asks for the key of its visitor', () => {
  it('goes back with its code and its state, and keeps its own query', () => {
    const app = readApp(ask({ redirect_uri: 'http://localhost:3000/callback?own=1' }), ALLOWED);
    expect(redirectOf(app, { code: 'c-1' })).toBe('http://localhost:3000/callback?own=1&code=c-1&state=a+b');
    expect(showApp(ask(), ALLOWED)).toEqual({
      name: 'localhost:3000',
      refusal: null,
      cancel_url: 'http://localhost:3000/callback?error=access_denied&state=a+b',
    });
    expect(showApp({ state: 'x' }, ALLOWED)).toBeNull();
  });

  it.each([
    ['another address', { redirect_uri: 'https://evil.example/' }, 'redirect_not_allowed', /'redirect_uris'/],
    ['no address', { redirect_uri: undefined }, 'invalid_request', /^redirect_uri: must/],
    [
      'two addresses',
      { redirect_uri: ['http://localhost', 'https://evil.example'] },
      'invalid_request',
      /^redirect_uri/,
    ],
    ['the verifier itself', { code_challenge_method: 'plain' }, 'invalid_request', /'plain' is not taken/],
    ['no method', { code_challenge_method: undefined }, 'invalid_request', /must be S256/],
    ['a short challenge', { code_challenge: 'abc' }, 'invalid_request', /^code_challenge: must/],
    ['no challenge', { code_challenge: undefined }, 'invalid_request', /^code_challenge: must/],
    ['a long state', { state: 'x'.repeat(1_001) }, 'invalid_request', /^state/],
  ])('with %s is told why it gets none', (_, changes, code, message) => {
    expect(() => readApp(ask(changes), ALLOWED)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    // The page says so, and leads the visitor nowhere.
    expect(showApp(ask(changes), ALLOWED)).toMatchObject({
      refusal: expect.stringMatching(message),
      cancel_url: null,
    });
  });

  it('proves with the verifier that it is the same one', () => {
    expect(fitsChallenge(VERIFIER, CHALLENGE)).toBe(true);
    for (const wrong of [CHALLENGE, VERIFIER.toLowerCase(), `${VERIFIER}=`, '', 'short'])
      expect(fitsChallenge(wrong, CHALLENGE)).toBe(false);
  });
});
