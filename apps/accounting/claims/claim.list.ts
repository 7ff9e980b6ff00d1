import { Injectable } from '@nestjs/common';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { ClaimView } from '#libs/contracts/admin/claims.js';
import type { Gate } from '#libs/contracts/claims.js';
import { pageOf } from '../domain/cursor.js';
import type { ListClaims } from '../schemas/claim.schemas.js';
import { UnitOfWork } from '../store/unit-of-work.js';

interface Row {
  id: string;
  at: Date;
  campaign: string;
  link: string;
  link_name: string;
  key: string;
  key_prefix: string;
  claimant: string | null;
  kind: Gate;
}

/** Who claimed what, newest first. */
@Injectable()
export class ClaimList {
  constructor(private readonly work: UnitOfWork) {}

  async page({ cursor, limit, campaign, link, claimant, since }: ListClaims): Promise<Page<ClaimView>> {
    const conditions = ['true'];
    const values: unknown[] = [];
    const put = (value: unknown): string => `$${values.push(value)}`;
    if (campaign !== undefined)
      conditions.push(`claim.campaign_id = (SELECT id FROM access.campaigns WHERE slug = ${put(campaign)})`);
    if (link !== undefined) conditions.push(`claim.link_id = ${put(link)}`);
    if (claimant !== undefined) conditions.push(`claim.claimant_id = ${put(claimant)}`);
    if (since !== undefined) conditions.push(`claim.at >= ${put(since)}`);
    if (cursor) conditions.push(`(claim.at, claim.id) < (${put(cursor.at)}, ${put(cursor.id)})`);
    const rows = await this.work.manager.query<Row[]>(
      `SELECT claim.id, claim.at, campaign.slug AS campaign, claim.link_id AS link, link.name AS link_name,
              claim.key_id AS key, key.prefix AS key_prefix, claim.claimant_id AS claimant, claim.kind
         FROM access.claims claim
         JOIN access.campaigns campaign ON campaign.id = claim.campaign_id
         JOIN access.claim_links link ON link.id = claim.link_id
         JOIN access.keys key ON key.id = claim.key_id
        WHERE ${conditions.join(' AND ')} ORDER BY claim.at DESC, claim.id DESC LIMIT ${put(limit + 1)}`,
      values,
    );
    return pageOf(
      rows,
      limit,
      ({ at, id }) => ({ at, id }),
      (row) => ({ ...row, at: row.at.toISOString() }),
    );
  }
}
