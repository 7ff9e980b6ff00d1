import type { Redis } from 'ioredis';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { RunId } from '#libs/redis/run-id.js';
import { defineBinaryScript, defineScript, type Script } from '#libs/redis/scripts.js';
import {
  readBytesAnswer,
  readEndAnswer,
  readHoldAnswer,
  readInquiryAnswer,
  readKeyAnswer,
  readLookAnswer,
  readRequestAnswer,
  readStartAnswer,
} from './hold.answers.js';
import { claimArgs, deferArgs, endArgs, inquiryArgs, lookArgs, restoreArgs, startArgs, takeArgs } from './hold.args.js';
import type {
  BytesAnswer,
  CallClaim,
  DeferRequest,
  EndAnswer,
  EndRequest,
  ExpiredHold,
  HoldAnswer,
  HoldBounds,
  HoldRequest,
  HoldState,
  InquiryAnswer,
  InquiryRequest,
  KeptBounds,
  KeptForm,
  KeyAnswer,
  KnownHold,
  LookAnswer,
  LookRequest,
  RequestAnswer,
  StartAnswer,
  StartRequest,
} from './hold.types.js';
import { RecentEnds } from './recent-ends.js';

/** Calls the scripts that hold money. The caller may repeat every call: the scripts are idempotent by request id. */
export class HoldStore {
  private readonly readKeyScript: Script;
  private readonly takeScript: Script;
  private readonly startScript: Script;
  private readonly nextScript: Script;
  private readonly deferScript: Script;
  private readonly endScript: Script;
  private readonly claimScript: Script;
  private readonly restoreScript: Script;
  private readonly countBytesScript: Script;
  private readonly countKeptScript: Script;
  private readonly countRequestScript: Script;
  private readonly takeInquiryScript: Script;
  private readonly run: RunId;
  private readonly recentEnds = new RecentEnds();

  constructor(private readonly redis: Redis) {
    this.run = RunId.of(redis);
    this.readKeyScript = defineScript(redis, 'read-key');
    this.takeScript = defineScript(redis, 'take-hold');
    this.startScript = defineScript(redis, 'start-call');
    this.nextScript = defineBinaryScript(redis, 'next-calls');
    this.deferScript = defineScript(redis, 'defer-call');
    this.endScript = defineScript(redis, 'end-hold');
    this.claimScript = defineScript(redis, 'claim-call');
    this.restoreScript = defineScript(redis, 'restore-hold');
    this.countBytesScript = defineScript(redis, 'count-bytes');
    this.countKeptScript = defineScript(redis, 'count-kept');
    this.countRequestScript = defineScript(redis, 'count-request');
    this.takeInquiryScript = defineScript(redis, 'take-inquiry');
  }

  async readKey(tokenHash: string): Promise<KeyAnswer> {
    const args = [
      await this.run.get(),
      redisKeys.keyPrefix,
      redisKeys.campaignPrefix,
      redisKeys.keyWindowPrefix,
      redisKeys.visitorPrefix,
    ];
    return readKeyAnswer(await this.readKeyScript([redisKeys.epoch, redisKeys.token(tokenHash)], args));
  }

  async take(hold: HoldRequest, bounds: HoldBounds): Promise<HoldAnswer> {
    return readHoldAnswer(await this.takeScript(...takeArgs(hold, bounds, await this.run.get())));
  }

  /** Reserves the lane and records the dispatch. A repeat with the same nonce gets the same answer. */
  async start(call: StartRequest): Promise<StartAnswer> {
    return readStartAnswer(await this.startScript(...startArgs(call, await this.run.get())));
  }

  /** Begins the calls of a lane whose turns are next. A repeat with the same number gets the same calls. */
  async next(look: LookRequest): Promise<LookAnswer> {
    return readLookAnswer(await this.nextScript(...lookArgs(look, await this.run.get())));
  }

  /** Puts a call back that the upstream refused without doing work. False where that attempt does not run. */
  async defer(call: DeferRequest): Promise<boolean | 'recovering'> {
    const answer = await this.deferScript(...deferArgs(call, await this.run.get()));
    return answer === -1 ? 'recovering' : answer === 1;
  }

  async end(end: EndRequest): Promise<EndAnswer> {
    const answer = readEndAnswer(await this.endScript(...endArgs(end, await this.run.get())));
    if (end.dispatched && (answer.outcome === 'applied' || answer.outcome === 'corrected')) this.recentEnds.add(end);
    return answer;
  }

  /** Repeats the last ends to a Redis that may have lost them. An end that Redis still has changes nothing. */
  async replayEnds(): Promise<'replayed' | 'recovering'> {
    const answers = await Promise.all(this.recentEnds.all().map((end) => this.end(end)));
    return answers.some(({ outcome }) => outcome === 'recovering') ? 'recovering' : 'replayed';
  }

  /** For the worker that runs the call: makes its hold dispatched, whatever Redis lost. */
  async claim(call: CallClaim): Promise<'claimed' | 'known' | 'recovering'> {
    const answer = await this.claimScript(...claimArgs(call, await this.run.get()));
    return answer as 'claimed' | 'known' | 'recovering';
  }

  /** For accounting: restores a hold as the ledger has it, unless Redis has it. Changes no balance. */
  async restore(hold: KnownHold): Promise<void> {
    await this.restoreScript(...restoreArgs(hold));
  }

  async stateOf(requestId: string, lane: string): Promise<HoldState> {
    const [[state, restored], tag] = await Promise.all([
      this.redis.hmget(redisKeys.hold(requestId), 'state', 'restored'),
      this.redis.zscore(redisKeys.laneWaiting(lane), requestId),
    ]);
    return { state: state ?? null, restored: restored !== null, isInLine: tag !== null };
  }

  /** Refunds a call that this process dispatched and never sent, whatever it knows of it. False: Redis has no hold. */
  async voidUnsent(requestId: string, attempt: number): Promise<boolean | 'recovering'> {
    const fields = ['key', 'campaign', 'lane', 'reply_to', 'amount', 'day'] as const;
    const [keyId, campaignId, lane, replyTo, amount, day] = await this.redis.hmget(
      redisKeys.hold(requestId),
      ...fields,
    );
    if (!keyId || !campaignId) return false;
    const dispatched = { attempt, amountNano: BigInt(amount ?? 0), day: Number(day ?? 0) };
    const call = { requestId, keyId, campaignId, lane: lane ?? '', replyTo: replyTo ?? '', dispatched };
    const { outcome } = await this.end({ ...call, transition: 'void', detail: { reason: 'never sent' } });
    return outcome === 'recovering' ? outcome : true;
  }

  /** The answer that Redis keeps for an idempotency key; null when its time is over. */
  async keptAnswer(keyId: string, nameHash: string): Promise<KeptForm | null> {
    const record = redisKeys.idempotency(keyId, nameHash);
    const [packed, plain] = await this.redis.hmgetBuffer(record, 'packed', 'answer');
    const sealed = packed ?? plain;
    return sealed ? { sealed, isPacked: Boolean(packed) } : null;
  }

  /** How many bytes of answers Redis would still keep for a key. `end` decides. */
  async keptRoom(keyId: string, { all, ofKey }: KeptBounds): Promise<number> {
    const [keptOfKey, kept] = await Promise.all([
      this.redis.hget(redisKeys.keptPrefix + keyId, 'bytes'),
      this.redis.get(redisKeys.keptBytes),
    ]);
    return Math.min(ofKey - Number(keptOfKey ?? 0), all - Number(kept ?? 0));
  }

  /** How many bytes of answers Redis keeps for repeats. */
  async keptBytes(): Promise<number> {
    return Number(await this.countKeptScript([redisKeys.kept, redisKeys.keptBytes], [redisKeys.keptPrefix]));
  }

  /** Counts the bytes of a request that ingress refused by itself. */
  async countBytes(
    keyId: string,
    bytes: number,
    { keyBytesPerHour }: Pick<HoldBounds, 'keyBytesPerHour'>,
  ): Promise<'ok' | BytesAnswer> {
    const keys = [redisKeys.key(keyId), redisKeys.keyBytes(keyId)];
    return readBytesAnswer(await this.countBytesScript(keys, [bytes, keyBytesPerHour]));
  }

  /** Counts a request that costs no money against the key's limits. `bytes` 0: somebody counted them already. */
  async countRequest(
    keyId: string,
    bytes: number,
    { keyBytesPerHour }: Pick<HoldBounds, 'keyBytesPerHour'>,
  ): Promise<RequestAnswer> {
    const keys = [redisKeys.key(keyId), redisKeys.keyWindow(keyId), redisKeys.keyBytes(keyId)];
    return readRequestAnswer(await this.countRequestScript(keys, [bytes, keyBytesPerHour]));
  }

  /** Lets in what costs no money and has no hold: counts it, records it and keeps its body, in one step. */
  async takeInquiry(
    inquiry: InquiryRequest,
    bounds: Pick<HoldBounds, 'auditBytes' | 'auditBytesOfKey' | 'keyBytesPerHour'>,
  ): Promise<InquiryAnswer> {
    return readInquiryAnswer(await this.takeInquiryScript(...inquiryArgs(inquiry, bounds, await this.run.get())));
  }

  /** The calls whose lease has run out by Redis' clock, at most `count`. */
  async expired(count: number): Promise<ExpiredHold[]> {
    const ids = await this.redis.zrangebyscore(
      redisKeys.leases,
      '-inf',
      await redisNowMs(this.redis),
      'LIMIT',
      0,
      count,
    );
    const found = await Promise.all(
      ids.map(
        async (requestId) =>
          [
            requestId,
            await this.redis.hmget(redisKeys.hold(requestId), 'key', 'campaign', 'lane', 'reply_to', 'state'),
          ] as const,
      ),
    );
    const gone = found.filter(([, hold]) => hold[0] === null).map(([requestId]) => requestId);
    if (gone.length > 0) await this.redis.zrem(redisKeys.leases, ...gone);
    return found.flatMap(([requestId, [keyId, campaignId, lane, replyTo, state]]) =>
      keyId && campaignId
        ? [{ requestId, keyId, campaignId, lane: lane ?? '', replyTo: replyTo ?? '', state: state ?? '' }]
        : [],
    );
  }
}
