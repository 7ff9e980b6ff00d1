import { Injectable } from '@nestjs/common';
import { formatUsd } from '#libs/money/nano.js';
import { AdminError } from '../domain/admin.error.js';
import { DUE_AT_ONCE } from '../domain/key-status.js';
import { LiveEvents } from '../live.events.js';
import { AuditRepository } from '../record/audit.repository.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AccountProjector } from './account.projector.js';
import { lockCampaign } from './account.writer.js';
import type { RevokeKeys } from '../schemas/campaign.schemas.js';

export interface RevokedKeys {
  dry_run: boolean;
  keys: number;
  returned_usd: string;
}

/** An answer waits so long for Redis. The rest of many keys comes into force by itself within seconds. */
const PATIENCE_MS = 20_000;

/** What the keys hold beyond what they spent and what running calls hold, as booked. */
const UNSPENT = `greatest(key.budget_nano - coalesce(balance.spent_nano, 0) - coalesce(balance.held_nano, 0), 0)`;
const LIVING = `FROM access.keys key LEFT JOIN ledger.balances balance ON balance.owner = 'key:' || key.id
  WHERE key.campaign_id = $1 AND key.status <> 'revoked'`;

/** Revokes all keys of a campaign in one statement, however many there are. */
@Injectable()
export class CampaignRevoker {
  constructor(
    private readonly work: UnitOfWork,
    private readonly projector: AccountProjector,
    private readonly audit: AuditRepository,
    private readonly live: LiveEvents,
  ) {}

  /** @throws AdminError `not_found`, or `invalid_request` where `confirm` is not the slug */
  revoke(slug: string, { note, dry_run, confirm }: RevokeKeys): Promise<RevokedKeys> {
    if (confirm !== undefined && confirm !== slug)
      throw new AdminError('invalid_request', `confirm: type the campaign's slug, '${slug}'. Nothing was changed.`, {
        param: 'confirm',
      });
    return this.work.run(async ({ manager, committed }) => {
      const campaign = await lockCampaign(manager, slug);
      const [counted] = await manager.query<{ keys: number; unspent: string }[]>(
        `SELECT count(*)::int AS keys, coalesce(sum(${UNSPENT}), 0) AS unspent ${LIVING}`,
        [campaign.id],
      );
      const { keys, unspent } = counted!;
      const answer = { dry_run, keys, returned_usd: formatUsd(BigInt(unspent)) };
      if (dry_run || keys === 0) return answer;
      // The lock goes along their ids, as all that write several keys do.
      const [, revoked] = await manager.query<[unknown, number]>(
        `WITH living AS MATERIALIZED (SELECT id FROM access.keys WHERE campaign_id = $1 AND status <> 'revoked' ORDER BY id FOR UPDATE)
         UPDATE access.keys SET status = 'revoked', status_note = $2, revoked_at = $3, settle_at = $4, version = version + 1, updated_at = $3
           FROM living WHERE keys.id = living.id`,
        [campaign.id, note, new Date(), DUE_AT_ONCE],
      );
      await this.audit.appendAct(manager, {
        act: 'status',
        subject: campaign.id,
        note: `revoked all ${revoked} keys: ${note}`,
      });
      committed.push(() => this.bringIntoForce(campaign.id, revoked));
      return { ...answer, keys: revoked };
    });
  }

  /** In batches, so that a hundred thousand keys need no more memory than a thousand. */
  private async bringIntoForce(campaignId: string, total: number): Promise<void> {
    const untilMs = performance.now() + PATIENCE_MS;
    try {
      while (performance.now() < untilMs && (await this.projector.projectPending()) > 0)
        this.tell(campaignId, total - (await this.pendingOf(campaignId)), total);
    } catch {
      throw new AdminError(
        'not_projected',
        'The keys are revoked in the books; at the moment Redis does not take it. It comes into force by itself. Do not send it again.',
      );
    }
  }

  /** Its keys that calls still take for what they were. Accounting may bring them into force elsewhere, too. */
  private async pendingOf(campaignId: string): Promise<number> {
    const [row] = await this.work.manager.query<{ keys: number }[]>(
      'SELECT count(*)::int AS keys FROM access.keys WHERE campaign_id = $1 AND projected_version < version',
      [campaignId],
    );
    return row!.keys;
  }

  /** Consoles show how far it is, and fetch the keys again. */
  private tell(campaignId: string, done: number, total: number): void {
    this.live.tell([
      { event: 'progress', data: { of: campaignId, done: Math.max(0, done), total } },
      { event: 'campaign', data: { id: campaignId } },
      { event: 'key', data: { id: null } },
    ]);
  }
}
