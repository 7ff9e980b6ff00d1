import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Claimed, DeskPayload, Gate, Identity } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { formatUsd } from '#libs/money/nano.js';
import { Stats } from '#libs/service/stats.js';
import { AccountWriter } from '../accounts/account.writer.js';
import { CampaignPromises } from '../accounts/campaign.promises.js';
import { Claimants } from '../accounts/claimants.js';
import { LinkProjector } from '../accounts/link.projector.js';
import { claimIdOf, keyIdOfClaim } from '../domain/account-id.js';
import { codeStatus } from '../domain/claim-code.js';
import { budgetGone, claimOf, refusalOf } from '../domain/link.js';
import { budgetOf, covers } from '../domain/promise.js';
import { InLine } from '../in-line.js';
import { LiveEvents } from '../live.events.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { Claim } from '../store/entities/claim.entity.js';
import { Claimant } from '../store/entities/claimant.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { ClaimBooks } from './claim.books.js';

export type ClaimRequest = Extract<DeskPayload, { kind: 'claim' }>;

const CODE_FAULTS = {
  unknown: 'There is no such code at this link. Check each character.',
  used: 'Somebody used this code already. A code makes one key.',
  voided: 'The operator withdrew this code. Ask for another one.',
  expired: 'This code is past its time. Ask for another one.',
};

/**
 * Makes keys of claims. Key, claim and booking are one transaction, whose ids follow from what names the claim. So a
 * claim that comes again gets the key of the first time.
 */
@Injectable()
export class ClaimService {
  /** Claims of one link would wait for its row, each with a connection of its own. Here they wait without one. */
  private readonly lines = new InLine();

  constructor(
    private readonly work: UnitOfWork,
    private readonly writer: AccountWriter,
    private readonly promises: CampaignPromises,
    private readonly claimants: Claimants,
    private readonly links: LinkProjector,
    private readonly books: ClaimBooks,
    private readonly stats: Stats,
    private readonly live: LiveEvents,
  ) {}

  /** @throws DaypassError that says why not; AdminError `not_projected` where the key is stored, and not in force yet */
  async claim(request: ClaimRequest): Promise<Claimed> {
    const { key, campaign, repeated } = await this.lines.run(request.link, () =>
      this.work.run(({ manager }) => this.decide(manager, request)),
    );
    if (repeated) await this.writer.assertInForce([key.id]);
    else {
      this.links.projectSoon();
      this.tell(request, key);
    }
    return showClaimed(key, campaign, repeated);
  }

  /** Consoles see it at once. */
  private tell({ claim, link }: ClaimRequest, { id: key, campaignId: campaign }: Key): void {
    this.stats.add('claims');
    this.live.tell([{ event: 'claim', data: { id: claimIdOf(claim), link, campaign, key } }]);
  }

  private async decide(manager: EntityManager, request: ClaimRequest): Promise<Outcome> {
    const { campaign, link } = await lockForClaim(manager, request.link);
    const former = await manager.findOne(Claim, {
      where: { id: claimIdOf(request.claim) },
      relations: { key: true },
    });
    if (former) return repeat(former, request, campaign);

    const now = new Date();
    const refusal = refusalOf(link, campaign, now);
    if (refusal) throw refusal;
    const code = link.gates.includes('code') ? await lockCode(manager, link, request.code_hash, now) : null;
    const claimant = await this.claimantOf(manager, link, code, request.identity);
    if (claimant) await refuseClaimant(manager, claimant, campaign, now);
    const promised = await this.promises.of(manager, campaign);
    const budgetNano = budgetOf(link.key);
    if (!covers(promised, budgetNano)) throw budgetGone();

    const minting = {
      campaign,
      link,
      claimId: claimIdOf(request.claim),
      keyId: keyIdOfClaim(request.claim),
      tokenHash: request.token_hash,
      prefix: request.prefix,
      code,
      claimantId: claimant?.id ?? null,
      ipTag: request.ip_tag,
      budgetNano,
      now,
    };
    const { key, transfers } = this.books.keyOf(minting);
    await this.writer.create(() => Promise.resolve({ accounts: [key], transfers }));
    await this.books.enter(manager, minting, promised);
    return { key, campaign, repeated: false };
  }

  /** Who claims, where the gate tells it. @throws DaypassError `identity_required` */
  private async claimantOf(
    manager: EntityManager,
    { gates: [gate] }: ClaimLink,
    code: ClaimCode | null,
    identity: Identity | null,
  ): Promise<Claimant | null> {
    if (gate === 'github' || gate === 'email') return this.claimants.ofIdentity(manager, identified(gate, identity));
    if (code === null) return null;
    if (code.claimantId !== null) return manager.findOneByOrFail(Claimant, { id: code.claimantId });
    return code.label === '' ? null : this.claimants.ofLabel(manager, code.label);
  }
}

interface Outcome {
  key: Key;
  campaign: Campaign;
  repeated: boolean;
}

/**
 * Locks campaign and link, in the order of those who change them. The campaign's lock makes its promises exact. Foreign
 * keys do not wait for it.
 */
export async function lockForClaim(
  manager: EntityManager,
  linkId: string,
): Promise<{ campaign: Campaign; link: ClaimLink }> {
  const found = await manager.findOneBy(ClaimLink, { id: linkId });
  if (!found) throw new DaypassError('link_unknown', 'There is no such link. It may be mistyped, or gone.');
  const lock = { mode: 'for_no_key_update' } as const;
  const campaign = await manager.findOneOrFail(Campaign, { where: { id: found.campaignId }, lock });
  const link = await manager.findOneOrFail(ClaimLink, { where: { id: linkId }, lock });
  return { campaign, link };
}

/** @throws DaypassError `identity_required` where the gate found out nobody, or somebody of another gate */
export function identified(gate: Gate, identity: Identity | null): Identity {
  if (identity?.kind === gate) return identity;
  throw new DaypassError('identity_required', 'This link asks who claims: open its page, and sign in there.', {
    details: { gate },
  });
}

/** Under another virtual key the first answer would be of no use, and its key is not shown twice. */
function repeat({ key, at }: Claim, request: ClaimRequest, campaign: Campaign): Outcome {
  if (key!.tokenHash === request.token_hash) return { key: key!, campaign, repeated: true };
  throw alreadyClaimed(at, key!, false);
}

async function lockCode(manager: EntityManager, link: ClaimLink, hash: string | null, now: Date): Promise<ClaimCode> {
  const code =
    hash === null
      ? null
      : await manager.findOne(ClaimCode, { where: { hash, linkId: link.id }, lock: { mode: 'pessimistic_write' } });
  const status = code === null ? 'unknown' : codeStatus(code, now);
  if (code === null || status !== 'free') {
    const why = status === 'free' ? 'unknown' : status;
    throw new DaypassError('code_invalid', CODE_FAULTS[why], { details: { why } });
  }
  return code;
}

/** What a claimant claimed counts also when somebody erased the claimant. The campaign's lock makes the count exact. */
async function refuseClaimant(
  manager: EntityManager,
  claimant: Claimant,
  campaign: Campaign,
  now: Date,
): Promise<void> {
  if (claimant.blockedAt !== null)
    throw new DaypassError(
      'claim_refused',
      'Keys of yours were suspended for what they sent, so that you can claim no more. The operator can change that.',
      { details: { contact: claimOf(campaign).contact } },
    );
  // With a key in use nobody could keep the promise to erase.
  const [erasure] = await manager.query<unknown[]>('SELECT 1 FROM access.erasures WHERE visitor_id = $1', [
    claimant.id,
  ]);
  if (erasure)
    throw new DaypassError(
      'claim_refused',
      'You asked to delete your texts, and they wait for a review. You can claim again when they are deleted.',
      { details: { why: 'erasure', contact: claimOf(campaign).contact } },
    );
  const { per_claimant, renew_after_seconds } = claimOf(campaign);
  const since = renew_after_seconds === null ? new Date(0) : new Date(now.getTime() - renew_after_seconds * 1_000);
  const claims = await claimsOf(manager, claimant, campaign, { since, most: per_claimant });
  if (claims.length < per_claimant) return;
  const [{ at, key }] = claims as [Claim];
  throw alreadyClaimed(at, key!, claimant.kind !== 'label' && isReplaceable(key!, now));
}

/** What a claimant claimed of a campaign, newest first, with the keys. */
export function claimsOf(
  manager: EntityManager,
  claimant: Claimant,
  campaign: Campaign,
  { since = new Date(0), most }: { since?: Date; most: number },
): Promise<Claim[]> {
  return manager
    .createQueryBuilder(Claim, 'claim')
    .innerJoinAndSelect('claim.key', 'key')
    .where('claim.claimant_id = :claimant AND claim.campaign_id = :campaign AND claim.at > :since', {
      claimant: claimant.id,
      campaign: campaign.id,
      since,
    })
    .orderBy('claim.at', 'DESC')
    .limit(most)
    .getMany();
}

/** Its holder may get another virtual key for it. */
export const isReplaceable = ({ status, expiresAt }: Key, now: Date): boolean =>
  status !== 'revoked' && (expiresAt === null || expiresAt > now);

function alreadyClaimed(at: Date, { prefix }: Key, replaceable: boolean): DaypassError {
  return new DaypassError('already_claimed', `You claimed a key here on ${at.toISOString()}: ${prefix}….`, {
    details: { claimed_at: at.toISOString(), prefix, replaceable },
  });
}

export function showClaimed(key: Key, campaign: Campaign, repeated: boolean): Claimed {
  const { models } = key;
  return {
    id: key.id,
    prefix: key.prefix,
    campaign: campaign.slug,
    budget_usd: formatUsd(key.budgetNano),
    expires_at: key.expiresAt?.toISOString() ?? null,
    models: models === null ? campaign.models : campaign.models.filter((model) => models.includes(model)),
    limits: key.limits,
    repeated,
  };
}
