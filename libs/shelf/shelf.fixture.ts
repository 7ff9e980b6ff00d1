import type { JsonObject } from '#libs/endpoints/json.js';
import type { Ref, Shelved } from '#libs/endpoints/shelved.js';
import { Money } from '#libs/holds/money.fixture.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { ConversationStore } from './conversation.store.js';
import { ShelfStore } from './shelf.store.js';
import type { FoundNames, ReadBounds, ShelfBounds, TooManyBytes } from './shelf.types.js';

const MIB = 1_048_576;
const WIDE: ShelfBounds = { bytesOfKey: 4 * MIB, bytesOfCampaign: 128 * MIB, bytes: 256 * MIB };
/** Tells what the script answered. */
export class TooMany extends Error {
  constructor(readonly answer: TooManyBytes) {
    super('too many bytes');
  }
}
export const READ: ReadBounds = {
  keyBytesPerHour: 0,
  mostBytes: 16 * MIB,
  tooMany: (answer) => new TooMany(answer),
  step: async (_, work) => work(),
};

export const message = (id: string, text: string, role = 'user'): JsonObject => ({
  type: 'message',
  id,
  role,
  content: [{ type: role === 'assistant' ? 'output_text' : 'input_text', text }],
});

/** A response of one question and one answer, with ids made of its own. */
export function shelved(id: string, changes: Partial<Shelved> = {}): Shelved {
  const answer = message(`msg_${id}_out`, `answer of ${id}`, 'assistant');
  return {
    id: `resp_${id}`,
    response: { id: `resp_${id}`, object: 'response', status: 'completed', output: [answer] },
    input: [message(`msg_${id}_in`, `question of ${id}`)],
    output: [{ item: answer }],
    parent: null,
    conversation: null,
    ...changes,
  };
}

export const previous = (id: string): Ref => ({ kind: 'response', id: `resp_${id}`, param: 'previous_response_id' });
export const item = (id: string): Ref => ({ kind: 'item', id, param: 'input' });
export const inConversation = (id: string): Ref => ({ kind: 'conversation', id, param: 'conversation' });

/** A real Redis with a campaign, two of its keys, and the shelf. */
export class ShelfRoom {
  readonly owner = { keyId: 'k', campaignId: 'c' };
  readonly other = { keyId: 'k2', campaignId: 'c' };

  private constructor(
    readonly money: Money,
    readonly box: ContentBox,
  ) {}

  static async start(): Promise<ShelfRoom> {
    return new ShelfRoom(await Money.start(), new ContentBox(Buffer.alloc(32, 7)));
  }

  async reset(): Promise<void> {
    await this.money.reset();
    await this.money.campaign();
    await this.money.key();
    await this.money.key({ id: 'k2' });
  }

  stop(): Promise<void> {
    return this.money.stop();
  }

  shelf(bounds: Partial<ShelfBounds> = {}): ShelfStore {
    return new ShelfStore(this.money.redis, this.box, { ...WIDE, ...bounds });
  }

  conversations(bounds: Partial<ShelfBounds> = {}): ConversationStore {
    return new ConversationStore(this.money.redis, this.box, this.shelf(bounds));
  }

  async keys(): Promise<string[]> {
    return (await this.money.redis.keys('{dp}:shelf:*')).sort();
  }
}

/** The texts of what was found, the oldest first. */
export function textsOf({ found }: FoundNames): string[] {
  return found.before.map(({ item: { content } }) => (content as [{ text: string }])[0].text);
}
