import { Inject, Injectable } from '@nestjs/common';
import type { IncomingHttpHeaders } from 'node:http';
import type { DaypassConfig } from '#libs/config/config.js';
import { coolingDown, endedKey, invalidKey, notStarted, suspended, type KeyEnd } from '#libs/contracts/key-refusals.js';
import type { CampaignState, KeyState } from '#libs/contracts/key-state.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
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
}

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
    const tokens = tokensOf(headers);
    const token = tokens.find(isWellFormed);
    if (token === undefined) throw tokens.length === 0 ? missingKey() : invalidKey();
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

function endOf(key: KeyState, campaign: CampaignState, nowMs: number): KeyEnd | null {
  if (key.status === 'revoked') return { reason: 'revoked', sinceMs: key.revoked_ms };
  if (key.expires_ms > 0 && key.expires_ms <= nowMs) return { reason: 'expired', sinceMs: key.expires_ms };
  return campaign.status === 'active' ? null : { reason: 'campaign_closed', sinceMs: campaign.closed_ms };
}
