import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import { coolingDown, invalidKey, suspended } from '#libs/contracts/key-refusals.js';
import type { CampaignState, KeyState } from '#libs/contracts/key-state.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { recovering } from '../refusals.js';

export interface Visitor {
  key: KeyState;
  campaign: CampaignState;
  /** The key's models: its own list, or its campaign's. */
  models: readonly string[];
  /** Redis' clock. */
  nowMs: number;
}

/** Reads the token of an `Authorization: Bearer …` header; null when it cannot be a virtual key. Needs no look-up. */
export function readToken(authorization: string | undefined): string | null {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  return token !== undefined && isWellFormed(token) ? token : null;
}

/** Finds the visitor of a request. It finds a suspended key, but no revoked or expired one. */
@Injectable()
export class Authenticator {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly holds: HoldStore,
  ) {}

  /** @throws DaypassError `invalid_api_key`, or `recovering` while accounting mends Redis */
  async visitor(authorization: string | undefined): Promise<Visitor> {
    const token = readToken(authorization);
    if (token === null) throw invalidKey();
    const answer = await this.holds.readKey(hashVirtualKey(token, this.config.secrets.tokenPepper)).catch(() => {
      throw recovering();
    });
    if (answer.code === 'recovering') throw recovering();
    if (answer.code !== 'ok') throw invalidKey();
    const { key, campaign, nowMs } = answer;
    const expired = key.expires_ms > 0 && key.expires_ms <= nowMs;
    if (key.status === 'revoked' || expired || campaign.status !== 'active') throw invalidKey();
    const own = key.models;
    return {
      key,
      campaign,
      nowMs,
      models: own ? own.filter((model) => campaign.models.includes(model)) : campaign.models,
    };
  }

  /** @throws DaypassError `key_suspended` */
  refuseSuspended({ key, nowMs }: Visitor): void {
    if (key.status === 'suspended') throw suspended();
    if (key.cooldown_until > nowMs) throw coolingDown(key.cooldown_until);
  }
}
