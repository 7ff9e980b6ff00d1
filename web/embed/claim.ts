import type { Challenge } from 'altcha-lib/types';
import type { ClaimAnswer, LinkView } from '#libs/contracts/claims.js';
import { ask, isPassing, newIdempotencyKey, persist, type Answer } from '../shared/api.js';
import { defineButton } from './button.js';
import { ClaimError, closedError, errorOf } from './errors.js';
import { byRedirect, byWindow, resume, takeFromAddress } from './hand.over.js';
import { forget, keep, keptOf, type ClaimedKey, type Remember } from './kept.js';
import { beWorker, solve } from './pow.js';

export { ClaimError, type ClaimErrorCode } from './errors.js';
export type { ClaimedKey, Remember } from './kept.js';

export interface ClaimOptions {
  /** Where the page keeps the key; `none` where it says nothing. */
  remember?: Remember;
  /** For links that ask the visitor for more than a proof of work: another window, or this one. */
  way?: 'popup' | 'redirect';
  /** Where Daypass sends the visitor back to: this page without query and fragment, where nobody says otherwise. */
  redirectUri?: string;
  /** Hears that a window opened, in which the visitor goes on. */
  onPopup?: () => void;
  signal?: AbortSignal;
}

/** The service gives a new challenge where a proof is too old or used. */
const RENEWALS = 2;

/** The names of claims whose answer never came, by link: the next try gets the same key. */
const pendingNames = new Map<string, string>();
const running = new Map<string, AbortController>();

/**
 * A key of the link, for `new OpenAI({ apiKey: key, baseURL, dangerouslyAllowBrowser: true })`. `link`: its address, or
 * the end of it where this module comes from the same Daypass. Call it where the visitor pressed something.
 * @throws ClaimError that says why there is none
 */
export async function claimKey(link: string, options: ClaimOptions = {}): Promise<ClaimedKey> {
  const address = addressOf(link);
  const known = await keptKey(link, options);
  if (known !== null) return known;
  // A second press gives up the window of the first.
  running.get(address)?.abort();
  const own = new AbortController();
  running.set(address, own);
  const signal = options.signal ? AbortSignal.any([own.signal, options.signal]) : own.signal;
  try {
    const key = await claim(address, options, signal);
    keep(address, key, options.remember ?? 'none');
    return key;
  } catch (error) {
    if (signal.aborted) throw new ClaimError('aborted', 'The claim was given up.');
    throw error;
  } finally {
    if (running.get(address) === own) running.delete(address);
  }
}

/**
 * The key that this page has of the link already: kept here, or brought along by the visitor's way back from Daypass.
 * null: none. It claims nothing. @throws ClaimError where the visitor came back without a key
 */
export async function keptKey(link: string, { remember = 'none' }: ClaimOptions = {}): Promise<ClaimedKey | null> {
  const address = addressOf(link);
  const brought = await resume(address);
  if (brought === null) return keptOf(address);
  keep(address, brought, remember);
  return brought;
}

/** The page forgets the key. The key itself still works for whoever has it. */
export function forgetKey(link: string): void {
  forget(addressOf(link));
}

function addressOf(link: string): string {
  const url = new URL(link.includes('/') ? link : `/c/${encodeURIComponent(link)}`, import.meta.url);
  return url.origin + url.pathname;
}

async function claim(address: string, options: ClaimOptions, signal: AbortSignal): Promise<ClaimedKey> {
  const token = address.slice(address.lastIndexOf('/') + 1);
  const path = new URL(`/claim/v1/links/${token}`, address).href;
  const found = await ask<LinkView>(path);
  if (!found.ok) throw errorOf(found.fault);
  const view = found.data;
  const closed = closedError(view);
  if (closed !== null) throw closed;
  const { gates, challenge } = view;
  if (gates.every((gate) => gate === 'pow') && challenge !== null)
    return mint(path, challenge as unknown as Challenge, signal);
  const { redirectUri = location.origin + location.pathname, way = 'popup', onPopup = () => undefined } = options;
  return (way === 'popup' ? byWindow : byRedirect)({ link: address, redirectUri, onPopup, signal });
}

async function mint(path: string, first: Challenge, signal: AbortSignal): Promise<ClaimedKey> {
  const name = pendingNames.get(path) ?? newIdempotencyKey();
  pendingNames.set(path, name);
  const answer = await mintAs(path, name, first, signal);
  // Only where nobody knows whether a key was made does the next try name the same claim.
  if (answer.ok || !isPassing(answer.fault)) pendingNames.delete(path);
  if (!answer.ok) throw errorOf(answer.fault);
  const { key, base_url, expires_at } = answer.data;
  return { key, baseURL: base_url, expiresAt: expires_at };
}

async function mintAs(
  path: string,
  idempotencyKey: string,
  first: Challenge,
  signal: AbortSignal,
): Promise<Answer<ClaimAnswer>> {
  let challenge = first;
  for (let renewal = 0; ; renewal++) {
    const solution = await solve(challenge, signal);
    signal.throwIfAborted();
    if (solution === null)
      throw new ClaimError('pow_invalid', 'This browser could not solve the proof of work. Use another browser.');
    const body = { pow: { challenge, solution } };
    const answer = await persist(
      () => ask<ClaimAnswer>(`${path}/claims`, { method: 'POST', body, idempotencyKey }),
      () => undefined,
    );
    const fresh = answer.ok ? undefined : answer.fault.details.challenge;
    if (answer.ok || answer.fault.code !== 'pow_invalid' || fresh === undefined || renewal === RENEWALS) return answer;
    challenge = fresh as Challenge;
  }
}

if (typeof document === 'undefined') beWorker();
else {
  takeFromAddress();
  defineButton(claimKey, keptKey);
}
