import { Inject, Injectable } from '@nestjs/common';
import type { IncomingHttpHeaders } from 'node:http';
import type { DaypassConfig } from '#libs/config/config.js';
import { coolingDown, endedKey, invalidKey, notStarted, suspended, type KeyEnd } from '#libs/contracts/key-refusals.js';
import type { CampaignState, KeyState } from '#libs/contracts/key-state.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { BrieflyKnown } from '../domain/briefly-known.js';
import type { KeyUse } from '../domain/limit-headers.js';
import { missingKey, recovering } from '../refusals.js';

export interface Visitor {
  /** The hash of the virtual key that the request came with. */
  tokenHash: string;
  key: KeyState;
  campaign: CampaignState;
  /** The key's models: its own list, or its campaign's. */
  models: readonly string[];
  /** Redis' clock. */
  nowMs: number;
  /** The key's limits, and what they have counted until now. */
  use: KeyUse;
  /** Why the key calls no more; null: it may call. */
  ended: KeyEnd | null;
  /**
   * Ingress read the key for an earlier call. Balances, use and clock are from then. `take-hold` says whether the rest
   * still holds.
   */
  isRemembered: boolean;
}

/**
 * Ingress remembers a key that may call for so long. No call relies on that: its hold checks the key again. The virtual
 * key lies in memory until a later key takes its place.
 */
const REMEMBERED_MS = 5_000;
/** About three kilobytes each. */
const REMEMBERED_MAX = 5_000;

/** Where clients put a key, as OpenAI's, Azure's and other APIs have it. */
function tokensOf({ authorization, ...headers }: IncomingHttpHeaders): string[] {
  const bearer = authorization === undefined ? undefined : (/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
  return [bearer, headers['api-key'], headers['x-api-key']].flatMap((token) => token ?? []);
}

/**
 * Finds the visitor of a request. Whoever holds the true secret of a key that has ended is told why. Redis knows the
 * hashes of all keys for as long as Postgres does, but forgets a rotated one.
 */
@Injectable()
export class Authenticator {
  private readonly remembered = new BrieflyKnown<Visitor>(REMEMBERED_MS, REMEMBERED_MAX);

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly holds: HoldStore,
  ) {}

  /**
   * Whose key it is, also where it has ended. Takes the first well-formed virtual key of the headers `authorization`,
   * `api-key` and `x-api-key`.
   * @throws DaypassError `invalid_api_key`, or `recovering` while accounting mends Redis
   */
  async holder(headers: IncomingHttpHeaders): Promise<Visitor> {
    return this.read(virtualKeyOf(headers));
  }

  /**
   * The visitor of a call whose hold checks the key again: as ingress remembers it, or as `holder` finds it.
   * @throws as `holder`
   */
  caller(headers: IncomingHttpHeaders): Visitor | Promise<Visitor> {
    const nowMs = performance.now();
    const known = (token: string): Visitor | undefined => this.remembered.get(token, nowMs);
    const token = tokenIn(headers, (token) => known(token) !== undefined || isWellFormed(token));
    return known(token) ?? this.readToRemember(token);
  }

  /** Of a call whose key ingress remembered: reads it again. @throws as `holder` */
  async again(headers: IncomingHttpHeaders): Promise<Visitor> {
    return this.readToRemember(virtualKeyOf(headers));
  }

  private async readToRemember(token: string): Promise<Visitor> {
    this.remembered.forget(token);
    const visitor = await this.read(token);
    if (mayBeRemembered(visitor)) this.remembered.set(token, { ...visitor, isRemembered: true }, performance.now());
    return visitor;
  }

  private async read(token: string): Promise<Visitor> {
    const tokenHash = hashVirtualKey(token, this.config.secrets.tokenPepper);
    const answer = await this.holds.readKey(tokenHash).catch(() => {
      throw recovering();
    });
    if (answer.code === 'recovering') throw recovering();
    if (answer.code !== 'ok') throw invalidKey();
    const { key, campaign, nowMs } = answer;
    const own = key.models;
    return {
      tokenHash,
      key,
      campaign,
      nowMs,
      use: { rpm: key.rpm, tpm: key.tpm, requests: answer.windowRequests, tokens: answer.windowTokens },
      ended: endOf(key, campaign, nowMs),
      models: own ? own.filter((model) => campaign.models.includes(model)) : campaign.models,
      isRemembered: false,
    };
  }

  /** Refuses a key that has ended, or has not begun. @throws DaypassError `invalid_api_key` */
  refuseOutOfTime({ ended, key, nowMs }: Visitor): void {
    if (ended) throw endedKey(ended);
    if (key.starts_ms > nowMs) throw notStarted(key.starts_ms);
  }

  /** @throws DaypassError `key_suspended` */
  refuseSuspended({ key, nowMs }: Visitor): void {
    if (key.status === 'suspended') throw suspended();
    if (key.cooldown_until > nowMs) throw coolingDown(key.cooldown_until);
  }
}

/** The virtual key of a request. @throws DaypassError `invalid_api_key` */
export const virtualKeyOf = (headers: IncomingHttpHeaders): string => tokenIn(headers, isWellFormed);

/** @throws DaypassError `invalid_api_key` */
function tokenIn(headers: IncomingHttpHeaders, isKey: (token: string) => boolean): string {
  const tokens = tokensOf(headers);
  const token = tokens.find(isKey);
  if (token === undefined) throw tokens.length === 0 ? missingKey() : invalidKey();
  return token;
}

/** A key that may call, and says when it changes. */
function mayBeRemembered({ ended, key, campaign, nowMs }: Visitor): boolean {
  const mayCall = ended === null && key.starts_ms <= nowMs && key.status === 'active' && key.cooldown_until <= nowMs;
  return mayCall && key.version !== '' && campaign.version !== '';
}

function endOf(key: KeyState, campaign: CampaignState, nowMs: number): KeyEnd | null {
  if (key.status === 'revoked') return { reason: 'revoked', sinceMs: key.revoked_ms };
  if (key.expires_ms > 0 && key.expires_ms <= nowMs) return { reason: 'expired', sinceMs: key.expires_ms };
  return campaign.status === 'active' ? null : { reason: 'campaign_closed', sinceMs: campaign.closed_ms };
}
