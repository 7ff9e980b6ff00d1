import { useCallback, useEffect, useRef, useState } from 'react';
import type { HeldCalls } from '#libs/contracts/claims.js';
import type { HeldKey } from '#libs/contracts/held-key.js';
import { ask, type Fault } from './api.js';

type Call = HeldCalls['data'][number];

const EVERY_MS = 5_000;
const LONGEST_WAIT_MS = 30_000;

export interface Held {
  /** The newest that is known, also while nobody answers. */
  view: HeldKey | null;
  fault: Fault | null;
  seenAt: Date | null;
  refresh: () => void;
}

/** Asks for the key's state every five seconds while the page is visible, and less often while nobody answers. */
export function useHeldKey(key: string): Held {
  const [held, setHeld] = useState<Omit<Held, 'refresh'>>({ view: null, fault: null, seenAt: null });
  const again = useRef<() => void>(() => undefined);
  useEffect(() => {
    let isGone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let waitMs = EVERY_MS;
    let isAsking = false;
    const look = async (): Promise<void> => {
      clearTimeout(timer);
      if (isAsking || isGone || document.hidden) return;
      isAsking = true;
      const answer = await ask<HeldKey>('/v1/key', { key });
      isAsking = false;
      if (isGone) return;
      setHeld((before) =>
        answer.ok ? { view: answer.data, fault: null, seenAt: new Date() } : { ...before, fault: answer.fault },
      );
      // An unknown key stays unknown.
      if (!answer.ok && answer.fault.code === 'invalid_api_key') return;
      waitMs = answer.ok ? EVERY_MS : Math.min(LONGEST_WAIT_MS, Math.max(waitMs * 2, answer.fault.retryAfterMs ?? 0));
      timer = setTimeout(() => void look(), waitMs);
    };
    const seen = (): void => {
      if (!document.hidden) void look();
    };
    again.current = () => void look();
    document.addEventListener('visibilitychange', seen);
    addEventListener('online', seen);
    void look();
    return () => {
      isGone = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
      removeEventListener('online', seen);
    };
  }, [key]);
  return { ...held, refresh: useCallback(() => again.current(), []) };
}

/** So many pages of calls stay in the page, and go into one CSV. */
const PAGES_MAX = 40;
/** The books hear of a call a moment after the balance does. */
const BOOKS_LAG_MS = 3_000;

export interface Calls {
  calls: Call[];
  fault: Fault | null;
  isLoading: boolean;
  hasOlder: boolean;
  loadOlder: () => Promise<void>;
  /** Everything that `PAGES_MAX` pages hold. */
  loadAll: () => Promise<Call[]>;
}

/** The key's calls, newest first. They are asked for again where `changed` differs. */
export function useCalls(key: string, changed: string | null): Calls {
  const [calls, setCalls] = useState<Call[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const [pages, setPages] = useState(0);
  const [isLoading, setLoading] = useState(true);

  const page = async (from: string | null): Promise<HeldCalls | null> => {
    const query = from === null ? '' : `?cursor=${encodeURIComponent(from)}`;
    const answer = await ask<HeldCalls>(`/v1/key/calls${query}`, { key, isWhole: true });
    setFault(answer.ok ? null : answer.fault);
    return answer.ok ? answer.data : null;
  };
  useEffect(() => {
    if (changed === null) return undefined;
    let isGone = false;
    const load = async (): Promise<void> => {
      const first = await page(null);
      if (isGone) return;
      setLoading(false);
      if (first === null) return;
      setCalls((before) => {
        const ids = new Set(first.data.map(({ id }) => id));
        return [...first.data, ...before.filter(({ id }) => !ids.has(id))];
      });
      // Older pages that are here already keep their place.
      setPages((before) => {
        if (before <= 1) setCursor(first.next_cursor);
        return Math.max(1, before);
      });
    };
    void load();
    const timer = setTimeout(() => void load(), BOOKS_LAG_MS);
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [key, changed]);

  const loadOlder = async (): Promise<void> => {
    if (cursor === null || pages >= PAGES_MAX) return;
    const older = await page(cursor);
    if (older === null) return;
    setCalls([...calls, ...older.data]);
    setCursor(older.next_cursor);
    setPages(pages + 1);
  };
  const loadAll = async (): Promise<Call[]> => {
    const all = [...calls];
    let from = cursor;
    let count = pages;
    for (; from !== null && count < PAGES_MAX; count++) {
      const older = await page(from);
      if (older === null) break;
      all.push(...older.data);
      from = older.next_cursor;
    }
    setCalls(all);
    setCursor(from);
    setPages(count);
    return all;
  };
  return { calls, fault, isLoading, hasOlder: cursor !== null && pages < PAGES_MAX, loadOlder, loadAll };
}
