import { Injectable } from '@nestjs/common';
import type { Claimed, DeskPayload } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { Claimants } from '../accounts/claimants.js';
import { claimsOf, identified, isReplaceable, showClaimed } from '../claims/claim.service.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { HolderDesk } from './holder.desk.js';

/** A claimant who lost a key gets another virtual key for it. The one before no longer works. */
@Injectable()
export class ClaimReplacer {
  constructor(
    private readonly work: UnitOfWork,
    private readonly claimants: Claimants,
    private readonly holder: HolderDesk,
  ) {}

  /** @throws DaypassError that says why not; a repeat changes nothing */
  async replace({
    link: linkId,
    identity,
    ...secret
  }: Extract<DeskPayload, { kind: 'claim.replace' }>): Promise<Claimed> {
    const { manager } = this.work;
    const link = await manager.findOne(ClaimLink, { where: { id: linkId }, relations: { campaign: true } });
    if (!link?.campaign) throw new DaypassError('link_unknown', 'There is no such link. It may be mistyped, or gone.');
    const claimant = await this.claimants.find(manager, identified(link.gates[0]!, identity));
    const [claim] = claimant ? await claimsOf(manager, claimant, link.campaign, { most: 1 }) : [];
    if (!claim?.key || !isReplaceable(claim.key, new Date())) throw nothingToReplace();
    const { token_hash: tokenHash, prefix } = secret;
    await this.holder.rotate({ kind: 'key.rotate', key: claim.keyId, token_hash: tokenHash, prefix });
    return { ...showClaimed(claim.key, link.campaign, false), prefix };
  }
}

const nothingToReplace = (): DaypassError =>
  new DaypassError('claim_refused', 'You have no key of this project that works, so that nothing can be replaced.', {
    details: { why: 'nothing_to_replace' },
  });
