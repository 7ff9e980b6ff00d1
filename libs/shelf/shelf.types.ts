import type { JsonObject } from '#libs/endpoints/json.js';
import type { Found } from '#libs/endpoints/shelved.js';

/** How what is on the shelf is named. What looks otherwise is not there. No id of an item has a space, or is as long as a text. */
export const RESPONSE_ID = /^resp_[A-Za-z0-9_-]{1,200}$/;
export const CONVERSATION_ID = /^conv_[A-Za-z0-9_-]{1,200}$/;
export const ITEM_ID = /^[\x21-\x7e]{1,256}$/;

/** Redis keeps what a key may name later for so long, and never longer than the key itself. */
export const SHELF_LIFE_MS = 24 * 3_600_000;
/** So many responses may stand in a chain of `previous_response_id`. */
export const CHAIN_MAX = 200;
/** So many entries one key may have: responses, conversations, and items of conversations. */
export const ENTRIES_MAX = 1_024;
/** So many items all entries of one key may have. */
export const ITEMS_MAX = 16_384;
/** One campaign may have half of the shelf. */
const CAMPAIGN_SHARE = 2;

export interface ShelfBounds {
  /** Of one key, of one campaign, and of all. */
  bytesOfKey: number;
  bytesOfCampaign: number;
  bytes: number;
}

export function shelfBounds({ shelfBytesOfKey, shelfBytes }: ShelfLimits): ShelfBounds {
  return { bytesOfKey: shelfBytesOfKey, bytesOfCampaign: Math.ceil(shelfBytes / CAMPAIGN_SHARE), bytes: shelfBytes };
}

export interface ShelfLimits {
  shelfBytesOfKey: number;
  shelfBytes: number;
}

/** Whose shelf it is. */
export interface ShelfOwner {
  keyId: string;
  campaignId: string;
}

/** `full`: the shelf has no room, the key has ended, or Redis does not answer. */
export type Put = 'stored' | 'full';

/** What bounds one reading of the shelf. */
export interface ReadBounds {
  /** What a key without a limit of its own may send, and get again, within an hour. 0: no limit. */
  keyBytesPerHour: number;
  /** What is read may have so many bytes as JSON. */
  mostBytes: number;
  /** The error for a key that sent too many bytes. */
  tooMany: (answer: TooManyBytes) => Error;
  /** Makes room for so many bytes of JSON before they are unpacked. @throws DaypassError where there is none */
  makeRoom?: (bytes: number) => void;
  /** Runs synchronous work on so many bytes. */
  step: Step;
}

export type Step = <T>(bytes: number, work: () => T | Promise<T>) => Promise<T>;

/** The key sent too many bytes within the hour (`take-hold.lua`). `waitMs` −1: it is larger than the whole limit. */
export interface TooManyBytes {
  code: 'bytes';
  limit: number;
  waitMs: number;
  need: number;
}

/** `bytes`: of what was found, as JSON, in its entries. */
export interface FoundNames {
  found: Found;
  bytes: number;
}

export interface Conversation {
  /** `conv_…` */
  id: string;
  /** Seconds since the epoch. */
  createdAt: number;
  metadata: Record<string, string>;
}

/** Items of a conversation, or of a response's input. */
export interface ItemPage {
  items: readonly JsonObject[];
  hasMore: boolean;
  /** Of what was read, as JSON. */
  bytes: number;
}
