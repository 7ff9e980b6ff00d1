import type { TokenAnswer } from '#libs/contracts/claims.js';
import { ask } from '../shared/api.js';
import { ClaimError, errorOf } from './errors.js';
import { attempt, type ClaimedKey } from './kept.js';

/** Where a visitor finishes in another window or page, and how the key comes back. */
export interface Way {
  /** The link's address. */
  link: string;
  /** Of the project: the link's `redirect_uris` name it. */
  redirectUri: string;
  onPopup: () => void;
  signal: AbortSignal;
}

/** A visitor signs in, types a code, waits for a mail. */
const PATIENCE_MS = 900_000;
/** Only such a state is ours: the project may sign its users in by OAuth as well. */
const OURS = /^daypass\.[A-Za-z0-9_-]{22,}$/;
const PENDING_AS = 'daypass-pending';
const ACK = 'ack';

interface Back {
  state: string;
  code?: string;
  error?: string;
}
interface Pending {
  link: string;
  state: string;
  verifier: string;
}

let cameBack: Back | null = null;
let opened: string | null = null;

/**
 * Takes what Daypass sent the page back with, and wipes it from the address bar. In the window that `byWindow` opened, it
 * tells the page behind, and closes the window.
 */
export function takeFromAddress(): void {
  const url = new URL(location.href);
  const state = url.searchParams.get('state') ?? '';
  const [code, error] = [url.searchParams.get('code'), url.searchParams.get('error')];
  const fragment = /^#daypass=([A-Za-z0-9_-]{43})$/.exec(url.hash)?.[1];
  if (fragment !== undefined) {
    opened = fragment;
    url.hash = '';
  } else if (OURS.test(state) && (code !== null || error !== null)) {
    const back: Back = { state, ...(code === null ? {} : { code }), ...(error === null ? {} : { error }) };
    if (pendingOf()?.state === state) cameBack = back;
    else tellOpener(back);
    for (const name of ['code', 'state', 'error']) url.searchParams.delete(name);
  } else return;
  history.replaceState(history.state, '', url);
}

/** No `postMessage`: Daypass' page belongs to no other page, so that its windows are strangers to each other. */
function tellOpener(back: Back): void {
  const channel = new BroadcastChannel(back.state);
  channel.onmessage = ({ data }) => {
    if (data === ACK) window.close();
  };
  channel.postMessage(back);
}

/** Opens a window, where the visitor claims. The page stays as it is. */
export async function byWindow(way: Way): Promise<ClaimedKey> {
  const { state, verifier, url } = await begin(way);
  if (window.open(url, '_blank', 'popup,width=520,height=760') === null)
    throw new ClaimError(
      'popup_blocked',
      'The browser opened no window. Press the button again, or allow windows for this page.',
    );
  way.onPopup();
  const back = await answerFrom(state, way.signal);
  return exchange(way.link, back, verifier);
}

/** Leaves the page. The key is there when the visitor comes back: `resume` finds it. */
export async function byRedirect(way: Way): Promise<never> {
  const { state, verifier, url } = await begin(way);
  const pending: Pending = { link: way.link, state, verifier };
  try {
    sessionStorage.setItem(PENDING_AS, JSON.stringify(pending));
  } catch {
    throw new ClaimError('storage_closed', 'The browser keeps nothing for this page. Allow it to, and press again.');
  }
  location.assign(url);
  return new Promise(() => undefined);
}

/** The key with which the visitor came back to this page; null: with none for this link. */
export async function resume(link: string): Promise<ClaimedKey | null> {
  const pending = pendingOf();
  if (cameBack !== null && pending?.link === link) {
    const back = cameBack;
    cameBack = null;
    attempt(() => sessionStorage.removeItem(PENDING_AS));
    return exchange(link, back, pending.verifier);
  }
  if (opened === null) return null;
  const code = opened;
  opened = null;
  return exchange(link, { state: '', code }, null);
}

async function begin({ link, redirectUri }: Way): Promise<{ state: string; verifier: string; url: string }> {
  const verifier = randomText();
  const state = `daypass.${randomText()}`;
  const url = new URL(link);
  url.search = new URLSearchParams({
    redirect_uri: redirectUri,
    code_challenge: base64url(await hashOf(verifier)),
    code_challenge_method: 'S256',
    state,
  }).toString();
  return { state, verifier, url: url.href };
}

function answerFrom(state: string, signal: AbortSignal): Promise<Back> {
  const channel = new BroadcastChannel(state);
  let timer: ReturnType<typeof setTimeout>;
  return new Promise<Back>((resolve, reject) => {
    timer = setTimeout(
      () => reject(new ClaimError('timed_out', 'Nobody finished in the window. Press the button again.')),
      PATIENCE_MS,
    );
    const abort = (): void => reject(new ClaimError('aborted', 'The claim was given up.'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    channel.onmessage = ({ data }: MessageEvent<Back>): void => {
      if (data.state !== state) return;
      channel.postMessage(ACK);
      resolve(data);
    };
  }).finally(() => {
    clearTimeout(timer);
    // What was sent last still leaves.
    setTimeout(() => channel.close(), 1_000);
  });
}

async function exchange(link: string, { code, error }: Back, verifier: string | null): Promise<ClaimedKey> {
  if (code === undefined)
    throw new ClaimError('cancelled', 'No key was taken. Press the button again to get one.', { error });
  const answer = await ask<TokenAnswer>(new URL('/claim/v1/token', link).href, {
    method: 'POST',
    body: { code, ...(verifier === null ? {} : { code_verifier: verifier }) },
    isWhole: true,
  });
  if (!answer.ok) throw errorOf(answer.fault);
  const { key, base_url, expires_at } = answer.data;
  return { key, baseURL: base_url, expiresAt: expires_at };
}

function pendingOf(): Pending | null {
  return attempt(() => JSON.parse(sessionStorage.getItem(PENDING_AS) ?? 'null') as Pending | null) ?? null;
}

async function hashOf(text: string): Promise<Uint8Array> {
  // Undefined outside a secure context, which the types do not know.
  const subtle = crypto.subtle as SubtleCrypto | undefined;
  if (subtle === undefined) return (await import('./plain.js')).hashOf(text);
  return new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(text)));
}

/** 256 bits: 43 characters. Pages on `http://` by a LAN address have `getRandomValues`, and no `crypto.subtle`. */
const randomText = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
