import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { LinkProjector } from '../accounts/link.projector.js';
import { newKey } from '../accounts/new.key.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { termsOf } from '../domain/key-terms.js';
import type { Promised } from '../domain/promise.js';
import type { Transfer } from '../domain/transfer.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { Claim } from '../store/entities/claim.entity.js';
import type { Key } from '../store/entities/key.entity.js';

export interface Minting {
  campaign: Campaign;
  link: ClaimLink;
  claimId: string;
  keyId: string;
  tokenHash: string;
  prefix: string;
  code: ClaimCode | null;
  claimantId: string | null;
  ipTag: string;
  budgetNano: bigint;
  now: Date;
}

/** The rows of a claim. */
@Injectable()
export class ClaimBooks {
  constructor(private readonly links: LinkProjector) {}

  /** The key that a link makes, and the transfer of its budget. */
  keyOf({ campaign, link, now, budgetNano, ...minting }: Minting): { key: Key; transfers: Transfer[] } {
    const given = {
      budget_usd: budgetNano,
      ttl_seconds: link.key.ttl_seconds ?? undefined,
      limits: link.key.limits,
    };
    // The link has all values but one, which only the campaign has.
    const terms = termsOf(given, { ...campaign, keyDefaults: { ttl_from: campaign.keyDefaults.ttl_from } }, now);
    const key = newKey({
      id: minting.keyId,
      campaignId: campaign.id,
      label: minting.code?.label ?? '',
      tokenHash: minting.tokenHash,
      prefix: minting.prefix,
      models: link.key.models,
      moderation: null,
      claimantId: minting.claimantId,
      linkId: link.id,
      terms,
      now,
    });
    const grant = { campaignId: campaign.id, keyId: key.id, deltaNano: budgetNano, version: 0, at: now };
    return { key, transfers: keyBudgetTransfers(grant) };
  }

  /** After the key: the claim, and what it changes of its link, its code and the campaign's promises. */
  async enter(
    manager: EntityManager,
    { campaign, link, claimId, code, ...minting }: Minting,
    promised: Promised,
  ): Promise<void> {
    await manager.insert(Claim, {
      id: claimId,
      linkId: link.id,
      campaignId: campaign.id,
      keyId: minting.keyId,
      claimantId: minting.claimantId,
      codeId: code?.id ?? null,
      kind: link.gates[0]!,
      at: minting.now,
      ipTag: minting.ipTag,
    });
    if (code) await manager.update(ClaimCode, { id: code.id }, { usedAt: minting.now });
    await manager.update(ClaimLink, { id: link.id }, { claimed: link.claimed + 1, version: link.version + 1 });
    const promisedNano = promised.promisedNano + minting.budgetNano;
    await this.links.markBudget(manager, campaign.id, { ...promised, promisedNano });
  }
}
