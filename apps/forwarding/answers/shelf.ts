import type { Shelved } from '#libs/endpoints/shelved.js';

/** The shelf of the answers (`ShelfStore`). */
export const SHELF = Symbol('shelf');

/** Keeps what visitors were shown. Never fails: an answer that nobody could keep says so. */
export interface Shelf {
  put(owner: { keyId: string; campaignId: string }, record: Shelved): Promise<'stored' | 'full'>;
}
