import { AsyncLocalStorage } from 'node:async_hooks';

const acting = new AsyncLocalStorage<string | null>();

/** Whoever holds a key, and ends it or deletes its texts. No person of the operator's reviewed anything then. */
export const HOLDER = 'holder';

/** Nobody else may go by that name: the record would say that a holder did it. */
export const isHolder = (name: string): boolean => name.trim().toLowerCase() === HOLDER;

/** Runs the work in the name of somebody: every act that it adds to the record says so. null: nobody said who. */
export function runAs<T>(actor: string | null, work: () => T): T {
  return acting.run(actor, work);
}

/** In whose name the running work acts; null: nobody said, or Daypass acts by itself. */
export function currentActor(): string | null {
  return acting.getStore() ?? null;
}
