import { useEffect, useEffectEvent, useState, useSyncExternalStore } from 'react';
import type { Beat, STREAM_EVENTS } from '#libs/contracts/admin/console.js';

export type StreamEvent = (typeof STREAM_EVENTS)[number];
const EVENTS: readonly StreamEvent[] = [
  'beat',
  'campaign',
  'key',
  'strike',
  'flag',
  'claim',
  'door',
  'trouble',
  'progress',
];
const HIDDEN_LIFE_MS = 60_000;
/** The browser itself comes back after a cut. After a refusal, as to the 51st tab, this asks again. */
const REFUSED_PAUSE_MS = 10_000;
export const OLD_AFTER_MS = 2_500;

type Listener = (data: unknown) => void;

/** One EventSource for the whole tab. It closes after the tab was hidden for a minute. */
class Stream {
  private source: EventSource | undefined;
  private readonly listeners = new Map<StreamEvent, Set<Listener>>();
  private readonly watchers = new Set<() => void>();
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private wasOpen = false;
  private onReturn: () => void = () => undefined;
  isConnected = false;
  beat: Beat | undefined;
  beatAtMs = 0;

  /** `onReturn`: events were missed, so that the pages have to ask again. */
  start(onReturn: () => void): () => void {
    this.onReturn = onReturn;
    document.addEventListener('visibilitychange', this.onVisibility);
    this.open();
    return () => {
      document.removeEventListener('visibilitychange', this.onVisibility);
      this.close();
      this.wasOpen = false;
    };
  }

  on(event: StreamEvent, listener: Listener): () => void {
    const all = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, all.add(listener));
    return () => all.delete(listener);
  }

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  private readonly onVisibility = (): void => {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.close(), HIDDEN_LIFE_MS);
    else if (this.source === undefined) this.open();
  };

  private open(): void {
    const source = new EventSource('/admin/v1/stream');
    this.source = source;
    source.addEventListener('open', () => {
      this.set(true);
      if (this.wasOpen) this.onReturn();
      this.wasOpen = true;
    });
    source.addEventListener('error', () => {
      this.set(false);
      if (source.readyState !== EventSource.CLOSED) return;
      this.close();
      this.retryTimer = setTimeout(() => this.open(), REFUSED_PAUSE_MS);
    });
    for (const name of EVENTS) {
      source.addEventListener(name, ({ data }: MessageEvent<string>) => this.tell(name, JSON.parse(data)));
    }
  }

  private close(): void {
    clearTimeout(this.hiddenTimer);
    clearTimeout(this.retryTimer);
    this.source?.close();
    this.source = undefined;
    this.set(false);
  }

  private tell(name: StreamEvent, data: unknown): void {
    if (name === 'beat') {
      this.beat = data as Beat;
      this.beatAtMs = Date.now();
      this.changed();
    }
    for (const listener of this.listeners.get(name) ?? []) listener(data);
  }

  private set(isConnected: boolean): void {
    this.isConnected = isConnected;
    this.changed();
  }

  private changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}

export const stream = new Stream();

/** Calls `listener` for each event of this name, while the component is on the page. */
export function useStream(event: StreamEvent, listener: Listener): void {
  const told = useEffectEvent(listener);
  useEffect(() => stream.on(event, (data) => told(data)), [event]);
}

/** The figures of the last second; undefined before the first. */
export const useBeat = (): Beat | undefined => useSyncExternalStore(stream.watch, () => stream.beat);

export type LiveState = 'live' | 'old' | 'off';
export function useLiveState(): LiveState {
  useNow();
  const isConnected = useSyncExternalStore(stream.watch, () => stream.isConnected);
  if (!isConnected) return 'off';
  return Date.now() - stream.beatAtMs > OLD_AFTER_MS ? 'old' : 'live';
}

/** Events of these names since `forget`. A list shows their number instead of jumping. */
export function useChanges(events: readonly StreamEvent[]): { changes: number; forget: () => void } {
  const [changes, setChanges] = useState(0);
  const names = events.join();
  useEffect(() => {
    const offs = (names === '' ? [] : (names.split(',') as StreamEvent[])).map((event) =>
      stream.on(event, () => setChanges((before) => before + 1)),
    );
    return () => offs.forEach((off) => off());
  }, [names]);
  return { changes, forget: () => setChanges(0) };
}

let nowMs = Date.now();
const clocks = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
function tick(): void {
  nowMs = Date.now();
  for (const clock of clocks) clock();
}
function watchClock(clock: () => void): () => void {
  clocks.add(clock);
  ticking ??= setInterval(tick, 1_000);
  return () => {
    clocks.delete(clock);
    if (clocks.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  };
}

/** The time, once a second. All elements share one timer. */
export const useNow = (): number => useSyncExternalStore(watchClock, () => nowMs);
