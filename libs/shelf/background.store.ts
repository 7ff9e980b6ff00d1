import type { Redis } from 'ioredis';
import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { waitingResponse } from '#libs/endpoints/responses/background.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { RESPONSE_ID } from './shelf.types.js';

/** So many of one key are known while they have no answer. */
const OF_KEY_MAX = 64;
/** As long as an answer is on the shelf. */
const LIFE_MS = 24 * 3_600_000;

/** Who can end the call. */
export type CallOf = Pick<Ticket, 'requestId' | 'keyId' | 'campaignId' | 'lane' | 'replyTo'>;

/** A call that runs in the background. */
export interface BackgroundCall {
  call: CallOf;
  /** As its visitor saw it first. */
  queued: JsonObject;
  cancelled?: true;
  error?: ErrorBody['error'];
}

/** Whoever would have said why is gone. */
const LOST = new DaypassError(
  'upstream_outcome_unknown',
  'The response ended without an answer. It may have cost money. Send the request again if you need it.',
).body();

/**
 * Knows the calls that run in the background, while the shelf has no answer of theirs. How such a call stands its hold
 * says, so that nobody has to write it when a process dies.
 */
export class BackgroundStore {
  private readonly keepScript: Script;

  constructor(
    private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {
    this.keepScript = defineScript(redis, 'keep-background');
  }

  /** False where Redis has no room. @throws where it does not answer */
  async keep(background: BackgroundCall): Promise<boolean> {
    const { keyId } = background.call;
    const id = background.queued.id as string;
    const args = [
      `${redisKeys.backgroundPrefix}${keyId}:`,
      id,
      this.sealed(keyId, id, background),
      LIFE_MS,
      OF_KEY_MAX,
    ];
    return (await this.keepScript([], args as (string | number)[])) === 'kept';
  }

  /** null: this key has none of this id. @throws where Redis does not answer */
  async find(keyId: string, id: string): Promise<BackgroundCall | null> {
    if (!RESPONSE_ID.test(id)) return null;
    const sealed = await this.redis.getBuffer(redisKeys.background(keyId, id));
    return sealed && (JSON.parse(this.box.open(sealed, `${keyId}/${id}`)) as BackgroundCall);
  }

  /** Says how it ended without an answer. @throws where Redis does not answer */
  async end(background: BackgroundCall, how: Pick<BackgroundCall, 'cancelled' | 'error'>): Promise<void> {
    const { keyId } = background.call;
    const id = background.queued.id as string;
    const sealed = this.sealed(keyId, id, { ...background, ...how });
    await this.redis.set(redisKeys.background(keyId, id), sealed as unknown as string, 'KEEPTTL', 'XX');
  }

  /** @throws where Redis does not answer */
  async forget(keyId: string, id: string): Promise<boolean> {
    return RESPONSE_ID.test(id) && (await this.redis.del(redisKeys.background(keyId, id))) === 1;
  }

  /**
   * As it stands now, where the shelf has no answer. `origin`: where its visitor reaches Daypass.
   * @throws where Redis does not answer
   */
  async shown({ call, queued, cancelled, error }: BackgroundCall, origin: string): Promise<JsonObject> {
    const failed = (body: ErrorBody): JsonObject =>
      waitingResponse(queued, { state: 'failed', told: withHelp(body, origin) });
    if (cancelled) return waitingResponse(queued, { state: 'cancelled' });
    if (error) return failed({ error });
    const state = await this.redis.hget(redisKeys.hold(call.requestId), 'state');
    if (state === 'held') return waitingResponse(queued, { state: 'queued' });
    if (state === 'dispatched') return waitingResponse(queued, { state: 'in_progress' });
    return failed(LOST);
  }

  private sealed(keyId: string, id: string, background: BackgroundCall): Buffer {
    return this.box.seal(JSON.stringify(background), `${keyId}/${id}`);
  }
}
