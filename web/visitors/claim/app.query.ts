import type { HandOverAnswer } from '#libs/contracts/claims.js';
import { ask, persist, type Answer } from '../../shared/api.js';

/** What an app asks with, in the address of the page. */
const NAMES = ['redirect_uri', 'code_challenge', 'code_challenge_method', 'state'] as const;
const KEPT_AS = 'daypass-app';
/** A sign-in elsewhere may take so long. */
const KEPT_LIFE_MS = 900_000;

/**
 * A sign-in on another site comes back without what the app asked. So the tab keeps it meanwhile. True: it is in the
 * address again, and the state of the shell does not know of it.
 */
export function recallApp(link: string): boolean {
  const query = new URLSearchParams(location.search);
  if (query.has('redirect_uri')) {
    const app = NAMES.flatMap((name) => query.getAll(name).map((value) => [name, value]));
    attempt(() => sessionStorage.setItem(KEPT_AS, JSON.stringify({ link, app, atMs: Date.now() })));
    return false;
  }
  const kept = attempt(() => JSON.parse(sessionStorage.getItem(KEPT_AS) ?? 'null') as Kept | null);
  if (!kept || kept.link !== link || Date.now() - kept.atMs > KEPT_LIFE_MS) return false;
  for (const [name, value] of kept.app) query.append(name, value);
  history.replaceState(null, '', `${location.pathname}?${query.toString()}${location.hash}`);
  return true;
}

interface Kept {
  link: string;
  app: [string, string][];
  atMs: number;
}

export function forgetApp(): void {
  attempt(() => sessionStorage.removeItem(KEPT_AS));
}

/** Asks for the address that hands the key over: to the app in the page's address, or to the project. */
export function handOver(link: string, key: string, to: 'app' | 'project'): Promise<Answer<HandOverAnswer>> {
  const query = new URLSearchParams(location.search);
  const app = Object.fromEntries(NAMES.flatMap((name) => (query.has(name) ? [[name, query.get(name)!]] : [])));
  const body = { link, ...(to === 'app' ? app : {}) };
  return persist(
    () => ask<HandOverAnswer>('/v1/key/hand-over', { method: 'POST', key, body }),
    () => undefined,
  );
}

function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    // Storage is closed to this page, or somebody else wrote there.
    return undefined;
  }
}
