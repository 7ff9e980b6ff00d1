import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { campaignStateSchema, keyStateSchema, type CampaignState, type KeyState } from '#libs/contracts/key-state.js';
import { MAX_AMOUNT_NANO } from '#libs/money/nano.js';
import { redisKeys } from './keys.js';
import { defineScript, type Script } from './scripts.js';

/** An ended hold is kept this long, so that late repeats find their first outcome; a presumed one, so that it can be corrected. */
const ENDED_HOLD_RETENTION_MS = 3_600_000;
const PRESUMED_HOLD_RETENTION_MS = 24 * 3_600_000;
export const REPLY_STREAM_MAX_ENTRIES = 50_000;
export const REPLY_STREAM_LIFE_MS = 120_000;

/** A hold whose holder falls silent is ended after this long; holders renew every third of it. */
export const LEASE_MS = 15_000;

export interface HoldRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** Cost that does not depend on the output's length, nano-dollars. */
  fixedNano: bigint;
  /** Cost of one more output token over all choices, nano-dollars. */
  perTokenNano: bigint;
  capTokens: number;
  /** Equal to `capTokens` when the caller asked for that cap: then it is never clamped. */
  leastCapTokens: number;
  inputTokens: number;
  choices: number;
  maxWaitMs: number;
  detail: string;
  lane: string;
  replyTo: string;
}

export type HoldAnswer =
  | { code: 'ok'; capTokens: number; amountNano: bigint; nowMs: number; availableNano: bigint; windowRequests: number; windowTokens: number; repeated: boolean }
  | { code: 'conflict' | 'recovering' | 'overloaded' | 'invalid' | 'suspended' }
  | { code: 'insufficient'; level: string; freeNano: bigint; heldNano: bigint; needNano: bigint }
  | { code: 'concurrency'; limit: number }
  | { code: 'requests'; limit: number; waitMs: number }
  /** `waitMs` −1: the request is larger than the whole limit and can never pass. */
  | { code: 'tokens'; limit: number; waitMs: number; need: number };

export type StartAnswer =
  { code: 'started'; attempt: number; nowMs: number } | { code: 'wait' | 'late'; waitMs: number } | { code: 'too_large' } | { code: 'ended'; state: string };

export interface EndRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  replyTo: string;
  transition: 'post' | 'void' | 'cancel' | 'presume' | 'expire';
  costNano?: bigint;
  /** Input and output tokens that were really used; corrects what the windows reserved. */
  usedTokens?: number;
  detail: Record<string, unknown>;
  /** The sealed final reply, handed to the visitor's ingress in the same step. */
  reply?: Buffer;
  strike?: boolean;
}

export interface EndAnswer {
  outcome: 'applied' | 'repeated' | 'corrected' | 'running' | 'missing' | 'leased' | 'refused';
  state: string;
  paidNano: bigint;
  absorbedNano: bigint;
  availableNano: bigint;
}

export type KeyAnswer = { code: 'recovering' | 'unknown' } | { code: 'ok'; key: KeyState; campaign: CampaignState; nowMs: number };

/** Typed callers of the scripts that hold money. Every call may be repeated: the scripts are idempotent by request id. */
export class HoldStore {
  private readonly readKeyScript: Script;
  private readonly takeScript: Script;
  private readonly startScript: Script;
  private readonly deferScript: Script;
  private readonly endScript: Script;

  constructor(private readonly redis: Redis) {
    this.readKeyScript = defineScript(redis, 'read-key');
    this.takeScript = defineScript(redis, 'take-hold');
    this.startScript = defineScript(redis, 'start-call');
    this.deferScript = defineScript(redis, 'defer-call');
    this.endScript = defineScript(redis, 'end-hold');
  }

  async readKey(tokenHash: string): Promise<KeyAnswer> {
    const answer = (await this.readKeyScript([redisKeys.epoch, redisKeys.token(tokenHash)], [redisKeys.keyPrefix, redisKeys.campaignPrefix])) as [
      string,
      string,
      string[],
      string[],
      string,
    ];
    if (answer[0] !== 'ok') return { code: answer[0] as 'recovering' | 'unknown' };
    return { code: 'ok', key: keyStateSchema.parse(fields(answer[2])), campaign: campaignStateSchema.parse(fields(answer[3])), nowMs: Number(answer[4]) };
  }

  async take(hold: HoldRequest, bounds: { journalEntries: number; operatorDayNano: bigint | undefined }): Promise<HoldAnswer> {
    const keys = [
      redisKeys.epoch,
      redisKeys.key(hold.keyId),
      redisKeys.campaign(hold.campaignId),
      redisKeys.hold(hold.requestId),
      redisKeys.journal,
      redisKeys.leases,
      redisKeys.keyWindow(hold.keyId),
      redisKeys.operatorDayPrefix,
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
    ];
    const [code, ...rest] = (await this.takeScript(keys, args)) as [string, ...string[]];
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
        };
      case 'insufficient':
        return { code, level: rest[0]!, freeNano: BigInt(rest[1]!), heldNano: BigInt(rest[2]!), needNano: BigInt(rest[3]!) };
      case 'concurrency':
        return { code, limit: Number(rest[0]) };
      case 'requests':
        return { code, limit: Number(rest[0]), waitMs: Number(rest[1]) };
      case 'tokens':
        return { code, limit: Number(rest[0]), waitMs: Number(rest[1]), need: Number(rest[2]) };
      case 'conflict':
      case 'recovering':
      case 'overloaded':
      case 'invalid':
      case 'suspended':
        return { code };
      default:
        throw new Error(`take-hold answered ${code}`);
    }
  }

  /** Reserves the lane and records the dispatch. `rpm` and `tpm` 0 mean unlimited. Repeated with the same nonce it gives the same answer. */
  async start(call: { requestId: string; lane: string; tokens: number; rpm: number; tpm: number; nonce: string }): Promise<StartAnswer> {
    const keys = [redisKeys.hold(call.requestId), redisKeys.leases, redisKeys.laneWindow(call.lane)];
    const [code, first, second] = (await this.startScript(keys, [call.requestId, call.tokens, call.rpm, call.tpm, LEASE_MS, call.nonce])) as [
      string,
      string,
      string,
    ];
    switch (code) {
      case 'started':
        return { code, attempt: Number(first), nowMs: Number(second) };
      case 'wait':
      case 'late':
        return { code, waitMs: Number(first) };
      case 'too_large':
        return { code };
      case 'ended':
        return { code, state: first };
      default:
        throw new Error(`start-call answered ${code}`);
    }
  }

  /** Puts a call back that the upstream refused without doing work; false when it was not that attempt's to give back. */
  async defer(call: { requestId: string; lane: string; attempt: number; freezeMs: number }): Promise<boolean> {
    const keys = [redisKeys.hold(call.requestId), redisKeys.leases, redisKeys.laneWindow(call.lane)];
    return (await this.deferScript(keys, [call.requestId, call.attempt, Math.ceil(call.freezeMs), LEASE_MS])) === 1;
  }

  async end(end: EndRequest): Promise<EndAnswer> {
    const keys = [
      redisKeys.hold(end.requestId),
      redisKeys.key(end.keyId),
      redisKeys.campaign(end.campaignId),
      redisKeys.journal,
      redisKeys.leases,
      redisKeys.keyWindow(end.keyId),
      redisKeys.laneWindow(end.lane),
      redisKeys.body(end.requestId),
      redisKeys.reply(end.replyTo),
    ];
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
    ];
    const [outcome, state, paid, absorbed, available] = (await this.endScript(keys, args)) as [string, string, string, string, string];
    return {
      outcome: outcome as EndAnswer['outcome'],
      state,
      paidNano: BigInt(paid),
      absorbedNano: BigInt(absorbed),
      availableNano: BigInt(available),
    };
  }

  /** The calls whose lease has run out by Redis' clock, at most `count`, with what ending them takes. */
  async expired(count: number): Promise<{ requestId: string; keyId: string; campaignId: string; lane: string; replyTo: string; state: string }[]> {
    const [seconds, micros] = (await this.redis.time()) as unknown as [string, string];
    const nowMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    const ids = await this.redis.zrangebyscore(redisKeys.leases, '-inf', nowMs, 'LIMIT', 0, count);
    const found = await Promise.all(
      ids.map(async (requestId) => [requestId, await this.redis.hmget(redisKeys.hold(requestId), 'key', 'campaign', 'lane', 'reply_to', 'state')] as const),
    );
    const gone = found.filter(([, hold]) => hold[0] === null).map(([requestId]) => requestId);
    if (gone.length > 0) await this.redis.zrem(redisKeys.leases, ...gone);
    return found.flatMap(([requestId, [keyId, campaignId, lane, replyTo, state]]) =>
      keyId && campaignId ? [{ requestId, keyId, campaignId, lane: lane ?? '', replyTo: replyTo ?? '', state: state ?? '' }] : [],
    );
  }
}

/** What makes a repeat the same call: a repeat with anything else is refused as a conflict. */
function fingerprint(hold: HoldRequest): string {
  const parts = [hold.keyId, hold.campaignId, hold.fixedNano, hold.perTokenNano, hold.capTokens, hold.leastCapTokens, hold.inputTokens, hold.choices];
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
