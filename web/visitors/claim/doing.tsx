import { useEffect, useState, type ReactNode } from 'react';
import type { LinkView } from '#libs/contracts/claims.js';
import { RETRIES } from '../../shared/api.js';
import type { Phase } from './claimer.js';

/** A countdown ends by this device's clock. The server's may be behind: the page looks again as often. */
export const EARLY_LOOK_MS = 5_000;
/** A timer beyond it would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647;
/** The page shows how far the proof is only where a visitor waits longer. */
const PATIENCE_MS = 1_000;

/** Looks at the link again when its time is over. */
export function useEndOf({ expires_at }: LinkView, onEnd: () => void): void {
  useEffect(() => {
    if (expires_at === null) return undefined;
    const leftMs = Date.parse(expires_at) - Date.now() + EARLY_LOOK_MS;
    if (leftMs > LONGEST_TIMER_MS) return undefined;
    const timer = setTimeout(onEnd, Math.max(0, leftMs));
    return () => clearTimeout(timer);
  }, [expires_at, onEnd]);
}

/** What the page does after the press. It is silent within the first second. */
export function Doing({ phase }: { phase: Phase | null }): ReactNode {
  const [isLong, setLong] = useState(false);
  const isDoing = phase !== null;
  useEffect(() => {
    if (!isDoing) return undefined;
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => {
      clearTimeout(timer);
      setLong(false);
    };
  }, [isDoing]);
  const seconds = phase?.is === 'waiting' ? Math.round(phase.waitMs / 1_000) : 0;
  return (
    <div>
      <div role="status">
        {isLong && phase?.is === 'solving' && (
          <p>This browser solves a small puzzle, against robots. It may take a minute.</p>
        )}
        {isLong && phase?.is === 'minting' && <p>The key is being made…</p>}
        {phase?.is === 'waiting' && (
          <p>
            No answer yet. This page asks again in {seconds} s ({phase.retry} of {RETRIES}). It asks for the same key.
          </p>
        )}
      </div>
      {isLong && phase?.is === 'solving' && (
        <progress aria-label="Puzzle" max={phase.usual} value={Math.min(phase.tries, phase.usual)} />
      )}
    </div>
  );
}
