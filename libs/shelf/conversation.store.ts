import type { Redis } from 'ioredis';
import { DaypassError } from '#libs/contracts/errors.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { newConversationId, withOwnId } from './item.ids.js';
import { packEntry, type PackedEntry } from './shelf.entry.js';
import { conversationNotFound, itemNotFound, shelfUnavailable } from './shelf.faults.js';
import { itemsIn, type Names, type Reading } from './shelf.reader.js';
import type { PutRequest, ShelfStore } from './shelf.store.js';
import {
  CONVERSATION_ID,
  ITEM_ID,
  type Conversation,
  type ItemPage,
  type ReadBounds,
  type ShelfOwner,
} from './shelf.types.js';

/** As OpenAI has it. */
export const ITEMS_AT_ONCE_MAX = 20;
const RETRY_MS = 5_000;

export interface PageAsked {
  /** The item before the page; '': it begins with the first. */
  after: string;
  limit: number;
  descending: boolean;
}

/**
 * Conversations on the shelf: their metadata, their own items, and those of the responses that were made in them. All
 * methods throw DaypassError: `not_found`, `request_too_large` where the key has no room, `recovering`; those that read throw the errors of their bounds, too.
 */
export class ConversationStore {
  private readonly renewScript: Script;

  constructor(
    redis: Redis,
    private readonly box: ContentBox,
    private readonly shelf: ShelfStore,
  ) {
    this.renewScript = defineScript(redis, 'renew-shelved');
  }

  async create(
    owner: ShelfOwner,
    metadata: Conversation['metadata'],
    items: readonly JsonObject[],
  ): Promise<Conversation> {
    const conversation = { id: newConversationId(), createdAt: Math.floor(Date.now() / 1_000), metadata };
    const own = await this.packed(owner.keyId, conversation);
    const entries = [own, ...(await this.packedItems(owner.keyId, items.map(withOwnId)))];
    await this.put(conversation.id, { owner, entries, conversation: conversation.id });
    return conversation;
  }

  async read(keyId: string, id: string, bounds: ReadBounds): Promise<Conversation> {
    const reading = await this.reading(keyId, id, { names: [{ kind: 'record', id }], measure: 'plain' }, bounds);
    const { created_at: createdAt, metadata } = reading.entries.get(id)!.shown as unknown as Written;
    return { id, createdAt, metadata };
  }

  async update({ keyId, campaignId }: ShelfOwner, { id, ...changed }: Conversation): Promise<void> {
    const { sealed, plainBytes } = await this.packed(keyId, { id, ...changed });
    const { bytesOfKey, bytesOfCampaign, bytes } = this.shelf.bounds;
    const whose = [campaignId, bytesOfKey, bytesOfCampaign, bytes];
    const args = [redisKeys.shelfPrefix, keyId, id, sealed, plainBytes, ...whose];
    throwUnlessStored((await available(this.renewScript([], args))) as Stored, id, 'metadata');
  }

  async delete(keyId: string, id: string): Promise<void> {
    if (!CONVERSATION_ID.test(id) || !(await available(this.shelf.remove(keyId, id))))
      throw conversationNotFound(id, 'conversation_id');
  }

  /** Returns the items with ids of the relay's own. */
  async addItems(owner: ShelfOwner, id: string, items: readonly JsonObject[]): Promise<JsonObject[]> {
    if (!CONVERSATION_ID.test(id)) throw conversationNotFound(id, 'conversation_id');
    const added = items.map(withOwnId);
    const entries = await this.packedItems(owner.keyId, added);
    await this.put(id, { owner, entries, conversation: id, needsConversation: true });
    return added;
  }

  async page(
    keyId: string,
    id: string,
    { after, limit, descending }: PageAsked,
    bounds: ReadBounds,
  ): Promise<ItemPage> {
    if (after !== '' && !ITEM_ID.test(after)) throw itemNotFound(after, 'after');
    const page = { after, size: limit, descending };
    const asked: Names = { names: [{ kind: 'page', id }], measure: 'plain', page };
    const reading = await this.reading(keyId, id, asked, bounds, 'after');
    return { items: itemsOf(reading), hasMore: reading.hasMore, bytes: reading.bytes };
  }

  /** `bytes`: of what was read, as JSON. */
  async item(
    keyId: string,
    id: string,
    itemId: string,
    bounds: ReadBounds,
  ): Promise<{ item: JsonObject; bytes: number }> {
    if (!ITEM_ID.test(itemId)) throw itemNotFound(itemId, 'item_id');
    const page = { after: itemId, size: 1, descending: false };
    const asked: Names = { names: [{ kind: 'member', id }], measure: 'plain', page };
    const reading = await this.reading(keyId, id, asked, bounds, 'item_id');
    return { item: itemsOf(reading)[0]!, bytes: reading.bytes };
  }

  async deleteItem(keyId: string, id: string, itemId: string): Promise<void> {
    const isThere =
      CONVERSATION_ID.test(id) && ITEM_ID.test(itemId) && (await available(this.shelf.remove(keyId, id, itemId)));
    if (!isThere) throw itemNotFound(itemId, 'item_id');
  }

  /** `itemParam`: which parameter names an item that may be missing. */
  private async reading(keyId: string, id: string, asked: Names, bounds: ReadBounds, itemParam = ''): Promise<Reading> {
    if (!CONVERSATION_ID.test(id)) throw conversationNotFound(id, 'conversation_id');
    const reading = await this.shelf.reader.read(keyId, asked, bounds);
    if (reading.code === 'ok') return reading;
    throw reading.id === id ? conversationNotFound(id, 'conversation_id') : itemNotFound(reading.id, itemParam);
  }

  private async put(id: string, request: PutRequest): Promise<void> {
    throwUnlessStored(await available(this.shelf.putEntries(request)), id, 'items');
  }

  private packed(keyId: string, { id, createdAt, metadata }: Conversation): Promise<PackedEntry> {
    const shown: Written = { created_at: createdAt, metadata };
    return packEntry(this.box, keyId, { id, shown: { ...shown }, input: [], output: [] });
  }

  private packedItems(keyId: string, items: readonly JsonObject[]): Promise<PackedEntry[]> {
    return Promise.all(
      items.map((item) =>
        packEntry(this.box, keyId, { id: item.id as string, shown: null, input: [item], output: [] }),
      ),
    );
  }
}

/** What a conversation's own entry holds. */
interface Written {
  created_at: number;
  metadata: Record<string, string>;
}

function itemsOf({ items, entries }: Reading): JsonObject[] {
  return items.flatMap(itemsIn(entries)).map(({ item }) => item);
}

type Stored = Awaited<ReturnType<ShelfStore['putEntries']>>;

/** `param`: what the visitor puts there. @throws DaypassError where it is not there */
function throwUnlessStored(answer: Stored, id: string, param: 'items' | 'metadata'): void {
  switch (answer) {
    case 'stored':
      return;
    case 'missing':
      throw conversationNotFound(id, 'conversation_id');
    case 'large':
      throw new DaypassError(
        'request_too_large',
        `This conversation has no room for the ${param}: it would be larger than all that a key may store. Delete items of it, or begin a new one.`,
        { param },
      );
    case 'full':
      throw new DaypassError('overloaded', 'Daypass has no room for more conversations now. Please retry later.', {
        retryAfterMs: RETRY_MS,
      });
  }
}

async function available<T>(work: Promise<T>): Promise<T> {
  return work.catch(() => {
    throw shelfUnavailable();
  });
}
