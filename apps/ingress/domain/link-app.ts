import { createHash } from 'node:crypto';
import type { LinkView } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { mayRedirectTo, readRedirectUri } from '#libs/contracts/redirect-uris.js';

/** What an app asks with: as OAuth's authorization code with PKCE (RFC 7636) names it. */
export interface AppAsk {
  redirect_uri?: unknown;
  code_challenge?: unknown;
  code_challenge_method?: unknown;
  state?: unknown;
}

/** An app that may get a code for the key of its visitor. */
export interface LinkApp {
  redirectUri: URL;
  /** base64url of the SHA-256 of the verifier that only the app knows. */
  challenge: string;
  state: string | undefined;
}

const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;
const VERIFIER = /^[A-Za-z0-9._~-]{43,128}$/;
const STATE_MAX = 1_000;

/** @throws DaypassError that says to whoever wrote the app what to do */
export function readApp(ask: AppAsk, redirectUris: readonly string[]): LinkApp {
  const redirectUri = allowedUri(ask.redirect_uri, redirectUris);
  const { code_challenge: challenge, code_challenge_method: method, state } = ask;
  if (method !== 'S256')
    throw wrong('code_challenge_method', "must be S256: send the SHA-256 of the verifier. 'plain' is not taken");
  if (typeof challenge !== 'string' || !CHALLENGE.test(challenge))
    throw wrong('code_challenge', 'must be the SHA-256 of the verifier in base64url: 43 characters');
  if (state !== undefined && (typeof state !== 'string' || state.length > STATE_MAX))
    throw wrong('state', `must be one text of at most ${STATE_MAX} characters`);
  return { redirectUri, challenge, state };
}

function allowedUri(asked: unknown, redirectUris: readonly string[]): URL {
  const uri = typeof asked === 'string' ? readRedirectUri(asked) : null;
  if (uri === null)
    throw wrong('redirect_uri', 'must be one address of http or https, without a fragment and without a password');
  if (!mayRedirectTo(uri, redirectUris))
    throw new DaypassError(
      'redirect_not_allowed',
      `${uri.href.slice(0, 200)} may get no key of this link. Ask the operator to add it to the link's 'redirect_uris'.`,
      { param: 'redirect_uri' },
    );
  return uri;
}

const wrong = (param: string, why: string): DaypassError =>
  new DaypassError('invalid_request', `${param}: ${why}.`, { param });

/** What the claim page says of the app in its query; null: its visitor came without one. */
export function showApp(ask: AppAsk, redirectUris: readonly string[]): LinkView['app'] {
  if (ask.redirect_uri === undefined && ask.code_challenge === undefined) return null;
  try {
    const app = readApp(ask, redirectUris);
    const cancelUrl = redirectOf(app, { error: 'access_denied' });
    return { name: app.redirectUri.host, refusal: null, cancel_url: cancelUrl };
  } catch (error) {
    if (!(error instanceof DaypassError)) throw error;
    const uri = typeof ask.redirect_uri === 'string' ? readRedirectUri(ask.redirect_uri) : null;
    return { name: uri?.host ?? 'unknown', refusal: error.message, cancel_url: null };
  }
}

/** The app's address with what it gets. Its own query stays. */
export function redirectOf({ redirectUri, state }: LinkApp, answer: { code: string } | { error: string }): string {
  const url = new URL(redirectUri);
  for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value);
  if (state !== undefined) url.searchParams.set('state', state);
  return url.href;
}

/** Whether this is the verifier whose challenge the app sent before. */
export function fitsChallenge(verifier: string, challenge: string): boolean {
  return VERIFIER.test(verifier) && createHash('sha256').update(verifier).digest('base64url') === challenge;
}
