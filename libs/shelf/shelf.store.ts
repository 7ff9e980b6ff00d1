import type { Redis } from 'ioredis';
import type { JsonObject } from '#libs/endpoints/json.js';
import type { Found, Ref, Shelved, ShelvedItem } from '#libs/endpoints/shelved.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { entryOf, packEntry, type PackedEntry } from './shelf.entry.js';
import { brokenChain, chainTooLong, refNotFound } from './shelf.faults.js';
import { itemsIn, ShelfReader, type Missing, type Reading } from './shelf.reader.js';
import {
  CONVERSATION_ID,
  ENTRIES_MAX,
  ITEM_ID,
  ITEMS_MAX,
  RESPONSE_ID,
  SHELF_LIFE_MS,
  type FoundNames,
  type Put,
  type ReadBounds,
  type ShelfBounds,
  type ShelfOwner,
} from './shelf.types.js';

const FORMS: Record<Ref['kind'], RegExp> = { response: RESPONSE_ID, conversation: CONVERSATION_ID, item: ITEM_ID };

/** Entries that go on the shelf in one step. */
export interface PutRequest {
  owner: ShelfOwner;
  entries: readonly PackedEntry[];
  /** Of the first entry. */
  parent?: string | null;
  conversation?: string | null;
  /** Otherwise an entry whose conversation is gone stands alone. */
  needsConversation?: boolean;
}

/**
 * Keeps what each virtual key was shown, so that its later requests may name it (docs/adr/0017). Redis holds it, encrypted
 * for the key and the id, for a day at most. Nothing of it is with the provider.
 */
export class ShelfStore {
  readonly reader: ShelfReader;
  private readonly putScript: Script;
  private readonly removeScript: Script;
  private readonly forgetScript: Script;
  private readonly countScript: Script;

  constructor(
    private readonly redis: Redis,
    private readonly box: ContentBox,
    readonly bounds: ShelfBounds,
  ) {
    this.reader = new ShelfReader(redis, box);
    this.putScript = defineScript(redis, 'shelve');
    this.removeScript = defineScript(redis, 'unshelve');
    this.forgetScript = defineScript(redis, 'forget-shelf');
    this.countScript = defineScript(redis, 'count-shelf');
  }

  /**
   * Puts a response on the shelf, and its items into its conversation, in one step. A repeat changes nothing. Never
   * throws: after `full` the answer says `store: false`.
   */
  async put(owner: ShelfOwner, record: Shelved): Promise<Put> {
    try {
      if (!RESPONSE_ID.test(record.id)) return 'full';
      const { parent, conversation } = record;
      const packed = await packEntry(this.box, owner.keyId, entryOf(record));
      return (await this.putEntries({ owner, entries: [packed], parent, conversation })) === 'stored'
        ? 'stored'
        : 'full';
    } catch {
      return 'full';
    }
  }

  /**
   * What a request names, with one command whatever it names. Ids of another key are unknown.
   * @throws DaypassError `previous_response_not_found`, `not_found`; `request_too_large`; `rate_limit_exceeded` where
   * too many requests of the key read at once; `recovering`; the error of `bounds`
   */
  async find(keyId: string, refs: readonly Ref[], bounds: ReadBounds): Promise<FoundNames> {
    const wellFormed = refs.filter((ref) => {
      if (FORMS[ref.kind].test(ref.id)) return true;
      if (!ref.optional) throw refNotFound(ref);
      return false;
    });
    if (wellFormed.length === 0) return { found: { before: [], items: new Map() }, bytes: 0 };
    const names = wellFormed.map(({ kind, id, optional }) => ({
      kind: kind === 'item' && optional ? ('optional' as const) : kind,
      id,
    }));
    const reading = await this.reader.read(keyId, { names, measure: 'adds' }, bounds);
    if (reading.code !== 'ok') throw faultOf(reading, wellFormed[reading.index]!);
    return { found: foundOf(reading), bytes: reading.bytes };
  }

  /** One response as it is on the shelf; null: this key has none of this id. @throws DaypassError as `find` */
  async response(keyId: string, id: string, bounds: ReadBounds): Promise<StoredResponse | null> {
    if (!RESPONSE_ID.test(id)) return null;
    const names = [{ kind: 'record' as const, id }];
    const reading = await this.reader.read(keyId, { names, measure: 'plain' }, bounds);
    if (reading.code !== 'ok') return null;
    const { shown, input, output } = reading.entries.get(id)!;
    return shown && { response: shown, input, output, bytes: reading.bytes };
  }

  /** False where the key has no response of this id. @throws where Redis does not answer */
  async deleteResponse(keyId: string, id: string): Promise<boolean> {
    return RESPONSE_ID.test(id) && this.remove(keyId, id);
  }

  /** `itemId`: of one item of the conversation `id`; absent: all of it. @throws where Redis does not answer */
  async remove(keyId: string, id: string, itemId = ''): Promise<boolean> {
    return (await this.removeScript([], [redisKeys.shelfPrefix, keyId, id, itemId])) === 1;
  }

  /** Deletes all that a key has on the shelf. @throws where Redis does not answer */
  async forget(keyId: string): Promise<void> {
    await this.forgetScript([], [redisKeys.shelfPrefix, keyId]);
  }

  /** Whether no key has anything on the shelf. @throws where Redis does not answer */
  async isEmpty(): Promise<boolean> {
    return (await this.redis.exists(`${redisKeys.shelfPrefix}all`)) === 0;
  }

  /** How many bytes Redis keeps on the shelf, of all keys. @throws where Redis does not answer */
  async bytes(): Promise<number> {
    return Number(await this.countScript([], [redisKeys.shelfPrefix]));
  }

  /** @throws where Redis does not answer, or has no memory */
  async putEntries({ owner, entries, ...where }: PutRequest): Promise<'stored' | 'full' | 'large' | 'missing'> {
    const { keyId, campaignId } = owner;
    const { bytesOfKey, bytesOfCampaign, bytes } = this.bounds;
    const answer = await this.putScript(
      [redisKeys.key(keyId), redisKeys.campaign(campaignId)],
      [
        redisKeys.shelfPrefix,
        keyId,
        campaignId,
        where.conversation ?? '',
        where.needsConversation ? 1 : 0,
        SHELF_LIFE_MS,
        bytesOfKey,
        bytesOfCampaign,
        bytes,
        ENTRIES_MAX,
        ITEMS_MAX,
        ...entries.flatMap(({ id, sealed, plainBytes, addedBytes, itemIds }, at) => [
          id,
          sealed,
          plainBytes,
          addedBytes,
          at === 0 ? (where.parent ?? '') : '',
          itemIds.join(' '),
        ]),
      ],
    );
    return answer as 'stored' | 'full' | 'large' | 'missing';
  }
}

/** A response on the shelf. `input`: its own. `output`: with what nobody can read. */
export interface StoredResponse {
  response: JsonObject;
  input: readonly JsonObject[];
  output: readonly ShelvedItem[];
  /** Of all of it, as JSON. */
  bytes: number;
}

function faultOf({ code, id }: Missing, ref: Ref): Error {
  if (code === 'broken') return brokenChain(ref, id);
  return code === 'long' ? chainTooLong(ref) : refNotFound(ref);
}

function foundOf({ before, items, entries }: Reading): Found {
  const inEntry = itemsIn(entries);
  return {
    before: before.flatMap(inEntry),
    items: new Map(items.flatMap((chosen) => inEntry(chosen).map((item) => [chosen.itemId, item] as const))),
  };
}
