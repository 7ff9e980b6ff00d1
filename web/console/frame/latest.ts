import { useLayoutEffect, useMemo, useRef } from 'react';
import { useShortcuts } from './shortcuts.tsx';

interface Given {
  keys: string;
  text: string;
  act: () => void;
}

/** Shortcuts whose acts change with each render, and whose keys and texts stay. */
export function useLatestShortcuts(given: readonly Given[]): void {
  const latest = useRef(given);
  useLayoutEffect(() => {
    latest.current = given;
  });
  const names = given.map(({ keys, text }) => `${keys}\t${text}`).join('\n');
  const shortcuts = useMemo(
    () =>
      names.split('\n').map((name, index) => {
        const [keys, text] = name.split('\t') as [string, string];
        return { keys, text, act: () => latest.current[index]?.act() };
      }),
    [names],
  );
  useShortcuts(shortcuts);
}
