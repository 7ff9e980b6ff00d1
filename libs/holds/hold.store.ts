import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { IDEMPOTENCY_LIFE_MS } from '#libs/contracts/idempotency-key.js';
import { campaignStateSchema, keyStateSchema } from '#libs/contracts/key-state.js';
import { MAX_AMOUNT_NANO } from '#libs/money/nano.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { eventArgs } from '#libs/redis/event.recorder.js';
import {
  LEASE_MS,
  PROBE_MS,
  type BudgetLevel,
  type CallClaim,
  type EndAnswer,
  type EndRequest,
  type ExpiredHold,
  type HoldAnswer,
  type HoldBounds,
  type HoldRequest,
  type KeyAnswer,
  type KnownHold,
  type StartAnswer,
  type StartRequest,
} from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys } from '#libs/pacing/lane.upstreams.js';
import { RecentEnds } from './recent-ends.js';
import { RunId } from '#libs/redis/run-id.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** An ended hold is kept this long, so that late repeats find their first outcome; a presumed one, so that it can be corrected. */
const ENDED_HOLD_RETENTION_MS = 3_600_000;
const PRESUMED_HOLD_RETENTION_MS = 24 * 3_600_000;
export const REPLY_STREAM_MAX_ENTRIES = 50_000;
export const REPLY_STREAM_LIFE_MS = 120_000;

const NO_CONSEQUENCES = { cooldownAfter: 0, cooldownMs: 0, suspendAfter: 0, windowMs: 0 };

/** Typed callers of the scripts that hold money. Every call may be repeated: the scripts are idempotent by request id. */
export class HoldStore {
  private readonly readKeyScript: Script;
  private readonly takeScript: Script;
  private readonly startScript: Script;
  private readonly deferScript: Script;
  private readonly endScript: Script;
  private readonly claimScript: Script;
  private readonly restoreScript: Script;
  private readonly run: RunId;
  private readonly recentEnds = new RecentEnds();

  constructor(private readonly redis: Redis) {
    this.run = RunId.of(redis);
    this.readKeyScript = defineScript(redis, 'read-key');
    this.takeScript = defineScript(redis, 'take-hold');
    this.startScript = defineScript(redis, 'start-call');
    this.deferScript = defineScript(redis, 'defer-call');
    this.endScript = defineScript(redis, 'end-hold');
    this.claimScript = defineScript(redis, 'claim-call');
    this.restoreScript = defineScript(redis, 'restore-hold');
  }

  async readKey(tokenHash: string): Promise<KeyAnswer> {
    const args = [await this.run.get(), redisKeys.keyPrefix, redisKeys.campaignPrefix];
    const answer = (await this.readKeyScript([redisKeys.epoch, redisKeys.token(tokenHash)], args)) as [
      string,
      string,
      string[],
      string[],
      string,
    ];
    if (answer[0] !== 'ok') return { code: answer[0] as 'recovering' | 'unknown' };
    return {
      code: 'ok',
      key: keyStateSchema.parse(fields(answer[2])),
      campaign: campaignStateSchema.parse(fields(answer[3])),
      nowMs: Number(answer[4]),
    };
  }

  async take(hold: HoldRequest, bounds: HoldBounds): Promise<HoldAnswer> {
    const keys = [
      redisKeys.epoch,
      redisKeys.key(hold.keyId),
      redisKeys.campaign(hold.campaignId),
      redisKeys.hold(hold.requestId),
      redisKeys.journal,
      redisKeys.leases,
      redisKeys.keyWindow(hold.keyId),
      redisKeys.operatorPrefix,
      redisKeys.audit,
      redisKeys.auditBytes,
      redisKeys.body(hold.requestId),
      ...(hold.idempotency ? [redisKeys.idempotency(hold.keyId, hold.idempotency.nameHash)] : []),
    ];
    const args = [
      hold.requestId,
      hold.keyId,
      hold.campaignId,
      hold.fixedNano.toString(),
      hold.perTokenNano.toString(),
      hold.capTokens,
      hold.leastCapTokens,
      hold.inputTokens,
      hold.choices,
      LEASE_MS,
      hold.maxWaitMs,
      bounds.journalEntries,
      hold.detail,
      hold.lane,
      hold.replyTo,
      fingerprint(hold),
      (bounds.operatorDayNano ?? -1n).toString(),
      (bounds.operatorTotalNano ?? -1n).toString(),
      await this.run.get(),
      bounds.patient ? 1 : 0,
      hold.idempotency?.fingerprint ?? '',
      IDEMPOTENCY_LIFE_MS,
      redisKeys.holdPrefix,
      hold.recorded ? JSON.stringify(hold.recorded) : '',
      bounds.auditBytes,
    ];
    return readHoldAnswer((await this.takeScript(keys, args)) as [string, ...string[]]);
  }

  /** Reserves the lane and records the dispatch. Repeated with the same nonce it gives the same answer. */
  async start(call: StartRequest): Promise<StartAnswer> {
    const keys = [
      redisKeys.epoch,
      redisKeys.hold(call.requestId),
      redisKeys.leases,
      redisKeys.journal,
      redisKeys.key(call.keyId),
      redisKeys.campaign(call.campaignId),
      redisKeys.laneWaiting(call.lane),
      redisKeys.laneFair(call.lane),
      redisKeys.laneShares(call.lane, Math.floor(Date.now() / 60_000)),
      ...upstreamKeys(call.upstreams),
    ];
    const args = [
      call.requestId,
      call.tokens,
      LEASE_MS,
      call.nonce,
      await this.run.get(),
      PROBE_MS,
      ...upstreamArgs(call.upstreams),
    ];
    const [code, first, second, requests, tokens, upstream, failures] = (await this.startScript(
      keys,
      args,
    )) as string[] as [string, ...string[]];
    switch (code) {
      case 'started':
        return {
          code,
          attempt: Number(first),
          nowMs: Number(second),
          laneRequests: Number(requests),
          laneTokens: Number(tokens),
          upstream: upstream!,
          failures: Number(failures),
        };
      case 'wait':
      case 'late':
        return { code, waitMs: Number(first), why: second as '' | 'failing' | 'account' };
      case 'too_large':
      case 'invalid':
      case 'suspended':
      case 'recovering':
        return { code };
      case 'ended':
        return { code, state: first! };
      case 'unsent':
        return { code, attempt: Number(first) };
      default:
        throw new Error(`start-call answered ${code}`);
    }
  }

  /**
   * Puts a call back that the upstream (`slot`: its part of the lane) refused without doing work; false when it was not that
   * attempt's to give back.
   */
  async defer(call: {
    requestId: string;
    lane: string;
    slot: string;
    attempt: number;
    freezeMs: number;
  }): Promise<boolean | 'recovering'> {
    const keys = [
      redisKeys.epoch,
      redisKeys.hold(call.requestId),
      redisKeys.leases,
      redisKeys.laneWindow(call.slot),
      redisKeys.journal,
      redisKeys.laneWaiting(call.lane),
      redisKeys.laneFair(call.lane),
    ];
    const answer = await this.deferScript(keys, [
      call.requestId,
      call.attempt,
      Math.ceil(call.freezeMs),
      LEASE_MS,
      await this.run.get(),
    ]);
    return answer === -1 ? 'recovering' : answer === 1;
  }

  async end(end: EndRequest): Promise<EndAnswer> {
    const keys = [
      redisKeys.hold(end.requestId),
      redisKeys.key(end.keyId),
      redisKeys.campaign(end.campaignId),
      redisKeys.journal,
      redisKeys.leases,
      redisKeys.keyWindow(end.keyId),
      redisKeys.ticket(end.requestId),
      redisKeys.body(end.requestId),
      redisKeys.reply(end.replyTo),
      redisKeys.epoch,
      redisKeys.operatorPrefix,
      redisKeys.laneWaiting(end.lane),
      redisKeys.laneFair(end.lane),
      redisKeys.audit,
      redisKeys.auditBytes,
    ];
    const { dispatched } = end;
    const strikes = typeof end.strike === 'object' ? end.strike : NO_CONSEQUENCES;
    const args = [
      end.requestId,
      end.transition,
      withinBounds(end.costNano ?? 0n).toString(),
      end.usedTokens ?? -1,
      JSON.stringify(end.detail),
      (end.reply ?? '') as string,
      ENDED_HOLD_RETENTION_MS,
      end.strike ? 1 : 0,
      REPLY_STREAM_MAX_ENTRIES,
      REPLY_STREAM_LIFE_MS,
      PRESUMED_HOLD_RETENTION_MS,
      await this.run.get(),
      dispatched?.attempt ?? 0,
      (dispatched?.amountNano ?? 0n).toString(),
      dispatched?.day ?? 0,
      end.keyId,
      end.campaignId,
      (end.keep ?? '') as string,
      IDEMPOTENCY_LIFE_MS,
      strikes.cooldownAfter,
      strikes.cooldownMs,
      strikes.suspendAfter,
      strikes.windowMs,
      dispatched?.upstream ?? '',
      ...eventArgs(end.events ?? []),
    ];
    const [outcome, state, paid, absorbed, available] = (await this.endScript(keys, args)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    if (dispatched && (outcome === 'applied' || outcome === 'corrected')) this.recentEnds.add(end);
    return {
      outcome: outcome as EndAnswer['outcome'],
      state,
      paidNano: BigInt(paid),
      absorbedNano: BigInt(absorbed),
      availableNano: BigInt(available),
    };
  }

  /** Says the last ends once more, to a Redis that may have lost them; what it still knows does not change. */
  async replayEnds(): Promise<'replayed' | 'recovering'> {
    const answers = await Promise.all(this.recentEnds.all().map((end) => this.end(end)));
    return answers.some(({ outcome }) => outcome === 'recovering') ? 'recovering' : 'replayed';
  }

  /** For the worker that runs the call: its hold is dispatched, whatever Redis came back with. */
  async claim(call: CallClaim): Promise<'claimed' | 'known' | 'recovering'> {
    const keys = [
      redisKeys.epoch,
      redisKeys.hold(call.requestId),
      redisKeys.key(call.keyId),
      redisKeys.campaign(call.campaignId),
      redisKeys.journal,
      redisKeys.leases,
      redisKeys.operatorPrefix,
    ];
    const { requestId, keyId, campaignId, amountNano, day, attempt, lane, replyTo } = call;
    const args = [
      requestId,
      keyId,
      campaignId,
      amountNano.toString(),
      day,
      attempt,
      LEASE_MS,
      lane,
      replyTo,
      await this.run.get(),
    ];
    return (await this.claimScript(keys, args)) as 'claimed' | 'known' | 'recovering';
  }

  /** For accounting: brings a hold back as the ledger knows it, unless Redis has it. Balances are not touched. */
  async restore(hold: KnownHold): Promise<void> {
    const { requestId, keyId, campaignId, amountNano, state, paidNano, absorbedNano, day, attempt } = hold;
    const retentionMs = state === 'presumed' ? PRESUMED_HOLD_RETENTION_MS : ENDED_HOLD_RETENTION_MS;
    await this.restoreScript(
      [redisKeys.hold(requestId), redisKeys.leases],
      [
        requestId,
        keyId,
        campaignId,
        amountNano.toString(),
        state,
        paidNano.toString(),
        absorbedNano.toString(),
        day,
        attempt,
        LEASE_MS,
        retentionMs,
      ],
    );
  }

  /** What Redis knows of a call; `restored`: it lost it, and the ledger knew it. */
  async look(requestId: string): Promise<{ state: string | null; restored: boolean }> {
    const [state, restored] = await this.redis.hmget(redisKeys.hold(requestId), 'state', 'restored');
    return { state: state ?? null, restored: restored !== null };
  }

  /** The sealed answer that is kept for an idempotency key; null when its time is over. */
  async keptAnswer(keyId: string, nameHash: string): Promise<Buffer | null> {
    return this.redis.hgetBuffer(redisKeys.idempotency(keyId, nameHash), 'answer');
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

function readHoldAnswer([code, ...rest]: [string, ...string[]]): HoldAnswer {
  switch (code) {
    case 'ok':
      return {
        code,
        capTokens: Number(rest[0]),
        amountNano: BigInt(rest[1]!),
        nowMs: Number(rest[2]),
        availableNano: BigInt(rest[3]!),
        windowRequests: Number(rest[4]),
        windowTokens: Number(rest[5]),
        repeated: rest[6] === '1',
        day: Number(rest[7]),
      };
    case 'insufficient':
      return {
        code,
        level: rest[0] as BudgetLevel,
        freeNano: BigInt(rest[1]!),
        heldNano: BigInt(rest[2]!),
        needNano: BigInt(rest[3]!),
        period: (rest[4] ?? '') as '' | 'day' | 'total',
      };
    case 'busy':
      return { code, level: rest[0] as BudgetLevel };
    case 'concurrency':
      return { code, limit: Number(rest[0]) };
    case 'requests':
      return { code, limit: Number(rest[0]), waitMs: Number(rest[1]) };
    case 'tokens':
      return { code, limit: Number(rest[0]), waitMs: Number(rest[1]), need: Number(rest[2]) };
    case 'answered':
      return { code, requestId: rest[0]! };
    case 'conflict':
    case 'recovering':
    case 'overloaded':
    case 'invalid':
    case 'suspended':
    case 'reused':
    case 'in_progress':
    case 'unanswered':
      return { code };
    default:
      throw new Error(`take-hold answered ${code}`);
  }
}

/** What makes a repeat the same call: a repeat with anything else is refused as a conflict. */
function fingerprint(hold: HoldRequest): string {
  const parts = [
    hold.keyId,
    hold.campaignId,
    hold.fixedNano,
    hold.perTokenNano,
    hold.capTokens,
    hold.leastCapTokens,
    hold.inputTokens,
    hold.choices,
  ];
  return createHash('sha256').update(parts.join('|')).digest('base64url').slice(0, 22);
}

/** Scripts compute in doubles and the ledger in 64 bits: an absurd usage report must not write what neither can hold. */
function withinBounds(costNano: bigint): bigint {
  if (costNano < 0n) return 0n;
  return costNano > MAX_AMOUNT_NANO ? MAX_AMOUNT_NANO : costNano;
}

function fields(flat: string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) record[flat[i]!] = flat[i + 1]!;
  return record;
}
