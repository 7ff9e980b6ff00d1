import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { WaitingView } from '#libs/contracts/admin/claims.js';
import type { DeskPayload } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { createCode, hashCode } from '#libs/secrets/claim-code.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { Claimants } from '../accounts/claimants.js';
import { newCodeId, newWaitingId } from '../domain/account-id.js';
import { AdminError } from '../domain/admin.error.js';
import { codeStatus } from '../domain/claim-code.js';
import { pageOf } from '../domain/cursor.js';
import { claimOf } from '../domain/link.js';
import { VisitorVault } from '../record/visitor.vault.js';
import type { Invite, ListWaitlist } from '../schemas/claim.schemas.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { claimsOf } from './claim.service.js';
import { findLink } from './link.service.js';

/** So many may wait for one campaign. */
export const WAITING_MAX = 10_000;

interface Row {
  id: string;
  at: Date;
  campaign: string;
  link: string;
  claimant: string;
  label_sealed: Buffer | null;
  invited_at: Date | null;
  mailed_at: Date | null;
  has_code: boolean;
  used_at: Date | null;
  voided_at: Date | null;
  expires_at: Date | null;
}

/** Who waits for a key of a campaign that has none left, and whom the operator invites. */
@Injectable()
export class Waitlist {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly work: UnitOfWork,
    private readonly claimants: Claimants,
    private readonly vault: VisitorVault,
    private readonly box: ContentBox,
  ) {}

  /**
   * Whoever waits already, may claim no more, or has a key of the campaign, gets the same answer, so that nobody learns
   * it. @throws DaypassError where nobody can wait here
   */
  wait({ link: linkId, identity }: Extract<DeskPayload, { kind: 'waitlist' }>): Promise<Record<string, never>> {
    return this.work.run(async ({ manager }) => {
      const link = await manager.findOne(ClaimLink, { where: { id: linkId }, relations: { campaign: true } });
      if (!link?.campaign)
        throw new DaypassError('link_unknown', 'There is no such link. It may be mistyped, or gone.');
      const { campaign } = link;
      if (!claimOf(campaign).waitlist || this.config.mail === undefined)
        throw new DaypassError('link_ended', 'This project has no waitlist.');
      const [{ waiting }] = await manager.query<[{ waiting: number }]>(
        'SELECT count(*)::int AS waiting FROM access.waitlist WHERE campaign_id = $1',
        [campaign.id],
      );
      if (waiting >= WAITING_MAX)
        throw new DaypassError('claims_exhausted', 'The waitlist is full, too. Ask whoever gave you the link.', {
          details: { why: 'waitlist', waitlist: false },
        });
      const claimant = await this.claimants.ofIdentity(manager, identity);
      const mayWait = claimant.labelSealed !== null && claimant.blockedAt === null;
      if (mayWait && (await claimsOf(manager, claimant, campaign, { most: 1 })).length === 0)
        await manager.query(
          `INSERT INTO access.waitlist (id, campaign_id, link_id, claimant_id, at) VALUES ($1, $2, $3, $4, now())
           ON CONFLICT (campaign_id, claimant_id) DO NOTHING`,
          [newWaitingId(), campaign.id, link.id, claimant.id],
        );
      return {};
    });
  }

  /** Newest first. */
  async page({ cursor, limit, campaign, waiting }: ListWaitlist): Promise<Page<WaitingView>> {
    const { manager } = this.work;
    const values: unknown[] = [];
    const put = (value: unknown): string => `$${values.push(value)}`;
    const conditions = [
      'true',
      ...(campaign === undefined ? [] : [`campaign.slug = ${put(campaign)}`]),
      ...(waiting === undefined ? [] : ['waiting.invited_at IS NULL']),
      ...(cursor ? [`(waiting.at, waiting.id) < (${put(cursor.at)}, ${put(cursor.id)})`] : []),
    ];
    const rows = await manager.query<Row[]>(
      `SELECT waiting.id, waiting.at, campaign.slug AS campaign, waiting.link_id AS link, waiting.claimant_id AS claimant,
              claimant.label_sealed, waiting.invited_at, waiting.mailed_at, code.id IS NOT NULL AS has_code, code.used_at, code.voided_at, code.expires_at
         FROM access.waitlist waiting
         JOIN access.campaigns campaign ON campaign.id = waiting.campaign_id
         JOIN access.claimants claimant ON claimant.id = waiting.claimant_id
         LEFT JOIN access.claim_codes code ON code.id = waiting.code_id
        WHERE ${conditions.join(' AND ')} ORDER BY waiting.at DESC, waiting.id DESC LIMIT ${put(limit + 1)}`,
      values,
    );
    const addresses = new Map<string, string | null>();
    for (const { claimant, label_sealed: sealed } of rows.slice(0, limit))
      addresses.set(claimant, sealed && (await this.vault.open(manager, claimant, claimant, sealed)));
    return pageOf(
      rows,
      limit,
      ({ at, id }) => ({ at, id }),
      (row) => showWaiting(row, addresses.get(row.claimant) ?? null),
    );
  }

  /**
   * Makes a one-time code for each, and mails it soon after.
   * @throws AdminError `not_found`, `conflict` where the link gives no codes, or without a mail server
   */
  invite({ link: linkId, count, ids, expires_at }: Invite): Promise<{ invited: number; left: number }> {
    if (this.config.mail === undefined)
      throw new AdminError('conflict', 'Invitations need DAYPASS_SMTP_URL and DAYPASS_MAIL_FROM, which nobody set.');
    return this.work.run(async ({ manager }) => {
      const { link, campaign } = await findLink(manager, linkId);
      if (!link.gates.includes('code') || link.status === 'closed')
        throw new AdminError(
          'conflict',
          `link: an invitation has a one-time code, and '${linkId}' ${link.status === 'closed' ? 'has ended' : 'asks for none'}. Name a link of '${campaign.slug}' with "gates": ["code"]. Nothing was changed.`,
          { param: 'link' },
        );
      const chosen = await manager.query<{ id: string; claimant_id: string }[]>(
        `SELECT id, claimant_id FROM access.waitlist
          WHERE campaign_id = $1 AND invited_at IS NULL AND ($2::text[] IS NULL OR id = ANY ($2)) ORDER BY at, id LIMIT $3 FOR UPDATE`,
        [campaign.id, ids ?? null, count ?? ids!.length],
      );
      for (const { id, claimant_id } of chosen) await this.codeFor(manager, link, { id, claimant_id, expires_at });
      const [{ left }] = await manager.query<[{ left: number }]>(
        'SELECT count(*)::int AS left FROM access.waitlist WHERE campaign_id = $1 AND invited_at IS NULL',
        [campaign.id],
      );
      return { invited: chosen.length, left };
    });
  }

  private async codeFor(
    manager: EntityManager,
    { id: linkId }: ClaimLink,
    { id, claimant_id, expires_at }: { id: string; claimant_id: string; expires_at: Date | null },
  ): Promise<void> {
    const [code, codeId, now] = [createCode(), newCodeId(), new Date()];
    await manager.insert(ClaimCode, {
      id: codeId,
      linkId,
      hash: hashCode(code, this.config.secrets.codePepper),
      label: '',
      claimantId: claimant_id,
      expiresAt: expires_at,
      usedAt: null,
      voidedAt: null,
      createdAt: now,
    });
    await manager.query(
      'UPDATE access.waitlist SET code_id = $2, invited_at = $3, next_at = $3, code_sealed = $4 WHERE id = $1',
      [id, codeId, now, this.box.seal(code, id)],
    );
  }
}

function showWaiting(row: Row, email: string | null): WaitingView {
  const { used_at: usedAt, voided_at: voidedAt, expires_at: expiresAt } = row;
  return {
    id: row.id,
    at: row.at.toISOString(),
    campaign: row.campaign,
    link: row.link,
    claimant: row.claimant,
    email,
    invited_at: row.invited_at?.toISOString() ?? null,
    mailed_at: row.mailed_at?.toISOString() ?? null,
    code: row.has_code ? codeStatus({ usedAt, voidedAt, expiresAt }, new Date()) : null,
  };
}
