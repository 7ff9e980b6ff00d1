import { hash } from 'node:crypto';
import { IDEMPOTENCY_LIFE_MS } from '#libs/contracts/idempotency-key.js';
import { MAX_AMOUNT_NANO } from '#libs/money/nano.js';
import { unitArgs, upstreamArgs, upstreamKeys } from '#libs/pacing/lane.upstreams.js';
import { eventArgs } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import {
  LEASE_MS,
  PROBE_MS,
  type CallClaim,
  type DeferRequest,
  type EndRequest,
  type HoldBounds,
  type HoldRequest,
  type InquiryRequest,
  type LookRequest,
  type KnownHold,
  type StartRequest,
} from './hold.types.js';

/**
 * The keys and arguments of the scripts that move holds, in the order that each script names at its top. `run`: the run
 * of Redis that the caller talks to.
 */
type KeysAndArgs = [keys: string[], args: (string | number)[]];

/** Redis keeps an ended hold so long, so that late repeats find their first outcome. */
const ENDED_HOLD_RETENTION_MS = 3_600_000;
/**
 * Late repeats of a call that cost nothing come within minutes. A key can make many such calls, so that Redis forgets
 * them sooner.
 */
const VOIDED_HOLD_RETENTION_MS = 600_000;
/** Redis keeps a presumed hold so long, so that accounting can correct it. */
const PRESUMED_HOLD_RETENTION_MS = 24 * 3_600_000;
export const REPLY_STREAM_MAX_ENTRIES = 50_000;
export const REPLY_STREAM_LIFE_MS = 120_000;

const NO_CONSEQUENCES = { cooldownAfter: 0, cooldownMs: 0, suspendAfter: 0, windowMs: 0 };

/** For `take-hold`. */
export function takeArgs(hold: HoldRequest, bounds: HoldBounds, run: string): KeysAndArgs {
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
    redisKeys.idempotency(hold.keyId, hold.idempotency?.nameHash ?? ''),
    redisKeys.keyBytes(hold.keyId),
    redisKeys.stopped(hold.keyId, hold.repeatHash ?? ''),
    redisKeys.visitorPrefix,
    redisKeys.doorSwitch,
    redisKeys.files(hold.requestId),
    redisKeys.filesLine,
  ];
  const args = [
    hold.requestId,
    hold.keyId,
    hold.campaignId,
    hold.fixedNano.toString(),
    hold.perUnitNano.toString(),
    hold.capTokens,
    hold.leastCapTokens,
    hold.inputTokens,
    hold.outputs,
    LEASE_MS,
    hold.maxWaitMs,
    bounds.journalEntries,
    hold.detail,
    hold.lane,
    hold.replyTo,
    fingerprint(hold),
    (bounds.operatorDayNano ?? -1n).toString(),
    (bounds.operatorTotalNano ?? -1n).toString(),
    run,
    bounds.patient ? 1 : 0,
    hold.idempotency?.fingerprint ?? '',
    IDEMPOTENCY_LIFE_MS,
    redisKeys.holdPrefix,
    hold.recorded ? JSON.stringify(hold.recorded) : '',
    bounds.auditBytes,
    (hold.body?.encrypted ?? '') as string,
    hold.body?.lifeMs ?? 0,
    hold.question ? 1 : 0,
    hold.sentBytes ?? 0,
    bounds.keyBytesPerHour,
    bounds.auditBytesOfKey,
    bounds.keyConcurrent ?? 0,
    hold.remembered?.key ?? '',
    hold.remembered?.campaign ?? '',
    hold.filePieces ?? 0,
  ];
  return [keys, args];
}

/** For `take-inquiry`. */
export function inquiryArgs(
  { requestId, keyId, tokens, sentBytes, recorded, body }: InquiryRequest,
  bounds: Pick<HoldBounds, 'auditBytes' | 'auditBytesOfKey' | 'keyBytesPerHour'>,
  run: string,
): KeysAndArgs {
  const keys = [
    redisKeys.epoch,
    redisKeys.key(keyId),
    redisKeys.keyWindow(keyId),
    redisKeys.keyBytes(keyId),
    redisKeys.audit,
    redisKeys.auditBytes,
    redisKeys.body(requestId),
    redisKeys.doorSwitch,
  ];
  const { keyBytesPerHour, auditBytes, auditBytesOfKey } = bounds;
  const counted = [tokens, sentBytes, keyBytesPerHour, auditBytes, auditBytesOfKey];
  return [keys, [run, keyId, ...counted, JSON.stringify(recorded), body.encrypted as unknown as string, body.lifeMs]];
}

/** For `start-call`. */
export function startArgs(call: StartRequest, run: string): KeysAndArgs {
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
  const { overtakes } = call;
  const order = [overtakes ? 1 : 0, overtakes?.behind ?? ''];
  const args = [call.requestId, call.tokens, LEASE_MS, call.nonce, run, PROBE_MS, ...order, redisKeys.visitorPrefix];
  return [keys, [...args, ...unitArgs(call.units), ...upstreamArgs(call.upstreams)]];
}

/** Longer than a process asks again for an answer that was lost. */
const LOOK_LIFE_MS = 600_000;
/** Larger bodies would fill the answer of a look. Each is asked for by itself. */
const BODY_IN_LOOK_BYTES = 65_536;

/** For `next-calls`. */
export function lookArgs({ lane, count, process, look, isRepeat, upstreams }: LookRequest, run: string): KeysAndArgs {
  const keys = [
    redisKeys.epoch,
    redisKeys.leases,
    redisKeys.journal,
    redisKeys.laneWaiting(lane),
    redisKeys.laneFair(lane),
    redisKeys.laneShares(lane, Math.floor(Date.now() / 60_000)),
    redisKeys.laneLook(lane, process),
    ...upstreamKeys(upstreams),
  ];
  const args = [
    count,
    look,
    process,
    isRepeat ? 1 : 0,
    LOOK_LIFE_MS,
    LEASE_MS,
    run,
    PROBE_MS,
    BODY_IN_LOOK_BYTES,
    redisKeys.visitorPrefix,
    redisKeys.holdPrefix,
    redisKeys.ticketPrefix,
    redisKeys.bodyPrefix,
    redisKeys.keyPrefix,
    redisKeys.campaignPrefix,
  ];
  return [keys, [...args, ...upstreamArgs(upstreams)]];
}

/** For `defer-call`. */
export function deferArgs(call: DeferRequest, run: string): KeysAndArgs {
  const keys = [
    redisKeys.epoch,
    redisKeys.hold(call.requestId),
    redisKeys.leases,
    redisKeys.laneWindow(call.slot),
    redisKeys.journal,
    redisKeys.laneWaiting(call.lane),
    redisKeys.laneFair(call.lane),
  ];
  const { requestId, attempt, freezeMs, joins = true, avoided = '', tokens = 0 } = call;
  return [keys, [requestId, attempt, Math.ceil(freezeMs), LEASE_MS, run, joins ? 1 : 0, avoided, tokens]];
}

/** For `end-hold`. */
export function endArgs(end: EndRequest, run: string): KeysAndArgs {
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
    redisKeys.kept,
    redisKeys.keptBytes,
    redisKeys.keptPrefix + end.keyId,
    redisKeys.keyBytes(end.keyId),
    redisKeys.visitorPrefix,
    redisKeys.files(end.requestId),
    redisKeys.filesLine,
    redisKeys.filesSizes,
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
    run,
    dispatched?.attempt ?? 0,
    (dispatched?.amountNano ?? 0n).toString(),
    dispatched?.day ?? 0,
    end.keyId,
    end.campaignId,
    (end.keep?.packed ?? '') as string,
    IDEMPOTENCY_LIFE_MS,
    strikes.cooldownAfter,
    strikes.cooldownMs,
    strikes.suspendAfter,
    strikes.windowMs,
    dispatched?.upstream ?? '',
    end.keep?.shownBytes ?? 0,
    end.keep?.bounds.all ?? 0,
    end.keep?.bounds.ofKey ?? 0,
    redisKeys.keptPrefix,
    VOIDED_HOLD_RETENTION_MS,
    end.drawn ?? -1,
    ...eventArgs(end.events ?? []),
  ];
  return [keys, args];
}

/** For `claim-call`. */
export function claimArgs(call: CallClaim, run: string): KeysAndArgs {
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
  const args = [requestId, keyId, campaignId, amountNano.toString(), day, attempt, LEASE_MS, lane, replyTo, run];
  return [keys, args];
}

/** For `restore-hold`. */
export function restoreArgs(hold: KnownHold): KeysAndArgs {
  const { requestId, keyId, campaignId, amountNano, state, paidNano, absorbedNano, day, attempt } = hold;
  const keys = [redisKeys.hold(requestId), redisKeys.leases];
  const args = [
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
    state === 'presumed' ? PRESUMED_HOLD_RETENTION_MS : ENDED_HOLD_RETENTION_MS,
  ];
  return [keys, args];
}

/** Covers what a repeat must have in common with its first request. `take-hold` refuses any other as a conflict. */
function fingerprint(hold: HoldRequest): string {
  const parts = [
    hold.keyId,
    hold.campaignId,
    hold.fixedNano,
    hold.perUnitNano,
    hold.capTokens,
    hold.leastCapTokens,
    hold.inputTokens,
    hold.outputs,
  ];
  return hash('sha256', parts.join('|'), 'base64url').slice(0, 22);
}

/** Scripts compute in doubles and the ledger in 64 bits. An absurd usage report must not exceed either. */
function withinBounds(costNano: bigint): bigint {
  if (costNano < 0n) return 0n;
  return costNano > MAX_AMOUNT_NANO ? MAX_AMOUNT_NANO : costNano;
}
