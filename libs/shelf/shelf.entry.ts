import type { JsonObject } from '#libs/endpoints/json.js';
import type { Shelved, ShelvedItem } from '#libs/endpoints/shelved.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { unreadable } from './shelf.faults.js';
import { ITEM_ID, type Step } from './shelf.types.js';

/** What one entry of the shelf holds. */
export interface Entry {
  id: string;
  /** Of a response: as it was shown. Of a conversation: its times and metadata. null: of an item. */
  shown: JsonObject | null;
  input: readonly JsonObject[];
  output: readonly ShelvedItem[];
}

/** As the scripts take it. */
export interface PackedEntry {
  id: string;
  sealed: Buffer;
  plainBytes: number;
  /** What it adds to a request that names it, as JSON. */
  addedBytes: number;
  itemIds: readonly string[];
}

/** Others cannot be named. */
const idOf = ({ id }: JsonObject): readonly string[] => (typeof id === 'string' && ITEM_ID.test(id) ? [id] : []);

/** The items of an entry by their ids. Of two with one id the answer's counts. */
export function itemsById({ input, output }: Entry): Map<string, ShelvedItem> {
  const all: readonly ShelvedItem[] = [...input.map((item) => ({ item })), ...output];
  return new Map(all.flatMap((one) => idOf(one.item).map((id) => [id, one] as const)));
}

export const entryOf = ({ id, response, input, output }: Shelved): Entry => ({ id, shown: response, input, output });

/** Encrypted for this key and this id only. */
const aadOf = (keyId: string, id: string): string => `${keyId}/${id}`;

export async function packEntry(box: ContentBox, keyId: string, entry: Entry): Promise<PackedEntry> {
  const shown = JSON.stringify(entry.shown);
  const items = `${JSON.stringify(entry.input)},${JSON.stringify(entry.output)}`;
  const text = `[${shown},${items}]`;
  return {
    id: entry.id,
    sealed: await box.pack(text, aadOf(keyId, entry.id)),
    plainBytes: Buffer.byteLength(text),
    addedBytes: Buffer.byteLength(items),
    itemIds: [...itemsById(entry).keys()],
  };
}

/** @throws DaypassError `not_found` where somebody altered the entry, or where it belongs to another key or id */
export async function unpackEntry(
  box: ContentBox,
  keyId: string,
  { id, sealed, plainBytes }: Pick<PackedEntry, 'id' | 'sealed' | 'plainBytes'>,
  step: Step,
): Promise<Entry> {
  const text = await box.unpack(sealed, aadOf(keyId, id), plainBytes).catch(() => {
    throw unreadable(id);
  });
  const [shown, input, output] = await step(
    plainBytes,
    () => JSON.parse(text) as [JsonObject | null, JsonObject[], ShelvedItem[]],
  );
  return { id, shown, input, output };
}
