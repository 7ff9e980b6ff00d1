import { useEffect } from 'react';

interface Guard {
  /** Addresses below it stay on the page. They begin with /console, as the router tells them. */
  within: string;
  question: string;
}
let guard: Guard | undefined;

/** Asks before the console leaves a page whose contents exist nowhere else. */
export function mayLeave(to: string): boolean {
  if (guard === undefined || to.startsWith(guard.within)) return true;
  return confirm(guard.question);
}

/** While `question` is set, links of the console, reload and closing the tab ask first. */
export function useLeaveGuard(within: string, question: string | null): void {
  useEffect(() => {
    if (question === null) return undefined;
    guard = { within: `/console${within}`, question };
    const beforeUnload = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener('beforeunload', beforeUnload);
    return () => {
      guard = undefined;
      removeEventListener('beforeunload', beforeUnload);
    };
  }, [within, question]);
}
