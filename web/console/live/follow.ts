import { useEffect, useEffectEvent } from 'react';
import { stream, type StreamEvent } from './stream.ts';

/** Each call of a busy campaign tells the page. It asks this seldom, so that its figures are at most two seconds old. */
const PAUSE_MS = 1_000;

/** Calls `refetch` at the first of these events, and once more after a pause where others followed. */
export function useFollow(event: StreamEvent, refetch: () => void): void {
  const fetchAnew = useEffectEvent(refetch);
  useEffect(() => {
    let pause: ReturnType<typeof setTimeout> | undefined;
    let isDue = false;
    const follow = (): void => {
      isDue = pause !== undefined;
      if (isDue) return;
      fetchAnew();
      pause = setTimeout(() => {
        pause = undefined;
        if (isDue) follow();
      }, PAUSE_MS);
    };
    const off = stream.on(event, follow);
    return () => {
      off();
      clearTimeout(pause);
    };
  }, [event]);
}
