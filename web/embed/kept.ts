/** A key of a claim link, in the form that OpenAI's client takes. */
export interface ClaimedKey {
  key: string;
  /** With `/v1`. */
  baseURL: string;
  /** As ISO time; null: the key has no end, or its time begins with its first call. */
  expiresAt: string | null;
}

/** `session`: for the life of the tab. `device`: until the page forgets it. `none`: not beyond this page. */
export type Remember = 'none' | 'session' | 'device';

const nameOf = (link: string): string => `daypass ${link}`;
/** Of each place, in the order in which the page looks. A getter: a page may have its storage closed. */
const PLACES: Readonly<Record<Exclude<Remember, 'none'>, () => Storage>> = {
  session: () => sessionStorage,
  device: () => localStorage,
};

/** `link`: its whole address. */
export function keep(link: string, key: ClaimedKey, remember: Remember): void {
  if (remember !== 'none') attempt(() => PLACES[remember]().setItem(nameOf(link), JSON.stringify(key)));
}

export function keptOf(link: string): ClaimedKey | null {
  for (const place of Object.values(PLACES)) {
    const kept = attempt(() => JSON.parse(place().getItem(nameOf(link)) ?? 'null') as Partial<ClaimedKey> | null);
    if (typeof kept?.key !== 'string' || typeof kept.baseURL !== 'string') continue;
    const expiresAt = kept.expiresAt ?? null;
    if (expiresAt === null || Date.parse(expiresAt) > Date.now())
      return { key: kept.key, baseURL: kept.baseURL, expiresAt };
  }
  return null;
}

export function forget(link: string): void {
  for (const place of Object.values(PLACES)) attempt(() => place().removeItem(nameOf(link)));
}

/** undefined: the browser keeps nothing for this page. */
export function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}
