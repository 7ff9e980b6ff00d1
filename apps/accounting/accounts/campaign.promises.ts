import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { BalanceRepository } from '../books/balance.repository.js';
import { claimOf } from '../domain/link.js';
import { campaignOwner } from '../domain/owner.js';
import { promiseLimit, type Promised } from '../domain/promise.js';
import type { Campaign } from '../store/entities/campaign.entity.js';

/** What campaigns have promised to their keys. */
@Injectable()
export class CampaignPromises {
  constructor(private readonly balances: BalanceRepository) {}

  /** Exact only in a transaction that has locked the campaign: whoever makes a key locks it, too. */
  async of(manager: EntityManager, campaign: Campaign): Promise<Promised> {
    const [row] = await manager.query<{ nano: string }[]>(
      'SELECT coalesce(sum(budget_nano), 0) AS nano FROM access.keys WHERE campaign_id = $1',
      [campaign.id],
    );
    const owner = campaignOwner(campaign.id);
    const absorbedNano = (await this.balances.balancesOf(manager, [owner])).get(owner)?.absorbedNano ?? 0n;
    return {
      promisedNano: BigInt(row!.nano) + absorbedNano,
      limitNano: promiseLimit(campaign.budgetNano, claimOf(campaign).overbook),
    };
  }
}
