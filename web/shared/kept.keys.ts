import { mistakeIn } from './virtual.key.js';

/** A key that this browser knows: for the life of its tab, or until the visitor forgets it. */
export interface KeptKey {
  key: string;
  /** The claim link's token; empty for a pasted key. */
  link: string;
  title: string;
  /** When it was claimed or pasted, as ISO time. */
  at: string;
  /** With `/v1`. */
  baseUrl: string;
}

const KEPT_AS = 'daypass-keys';
/** Older ones make room. */
const KEPT_MAX = 20;

type Place = 'session' | 'device';

/** Newest first. */
export function keptKeys(): KeptKey[] {
  const all = [...read('session'), ...read('device')];
  return all
    .filter((one, index) => all.findIndex(({ key }) => key === one.key) === index)
    .toSorted((a, b) => b.at.localeCompare(a.at));
}

export const keptKeyOf = (link: string): KeptKey | undefined => keptKeys().find((one) => one.link === link);

export const isRemembered = (key: string): boolean => read('device').some((one) => one.key === key);

/** For the life of the tab, so that a reload finds it. `remember`: on this device as well. */
export function keepKey(kept: KeptKey, remember: boolean): void {
  write('session', [kept, ...read('session').filter(({ key }) => key !== kept.key)]);
  const others = read('device').filter(({ key }) => key !== kept.key);
  write('device', remember ? [kept, ...others] : others);
}

/** A rotated key takes the place of the one before, where that was kept. */
export function replaceKey(old: string, next: string): void {
  for (const place of ['session', 'device'] as const)
    write(
      place,
      read(place).map((one) => (one.key === old ? { ...one, key: next } : one)),
    );
}

export function forgetKey(key: string): void {
  for (const place of ['session', 'device'] as const)
    write(
      place,
      read(place).filter((one) => one.key !== key),
    );
}

function read(place: Place): KeptKey[] {
  try {
    const kept: unknown = JSON.parse(storageOf(place).getItem(KEPT_AS) ?? '[]');
    return Array.isArray(kept) ? kept.filter(isKept) : [];
  } catch {
    // Storage is closed to this page, or somebody else wrote there.
    return [];
  }
}

function write(place: Place, keys: KeptKey[]): void {
  try {
    if (keys.length === 0) storageOf(place).removeItem(KEPT_AS);
    else storageOf(place).setItem(KEPT_AS, JSON.stringify(keys.slice(0, KEPT_MAX)));
  } catch {
    // Storage is closed to this page: the key is on the screen only.
  }
}

const storageOf = (place: Place): Storage => (place === 'session' ? sessionStorage : localStorage);

function isKept(value: unknown): value is KeptKey {
  const { key, link, title, at, baseUrl } = (value ?? {}) as Record<string, unknown>;
  return (
    [key, link, title, at, baseUrl].every((one) => typeof one === 'string') &&
    mistakeIn(key as string) === null &&
    !Number.isNaN(Date.parse(at as string))
  );
}
