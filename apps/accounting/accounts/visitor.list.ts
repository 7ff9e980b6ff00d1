import { Injectable } from '@nestjs/common';
import type { Page, StrikeView } from '#libs/contracts/admin/answers.js';
import type { VisitorView } from '#libs/contracts/admin/safety.js';
import { formatUsd } from '#libs/money/nano.js';
import { StrikeRepository } from '../books/strike.repository.js';
import { cutPage, pageOf, writeRank, type Rank } from '../domain/cursor.js';
import { showStrike } from '../domain/strike.js';
import { isFlagged } from '../record/review.queue.js';
import { VisitorFinder } from '../record/visitor.finder.js';
import { VisitorVault } from '../record/visitor.vault.js';
import type { List, ListVisitors } from '../schemas/list.schemas.js';
import { UnitOfWork } from '../store/unit-of-work.js';

interface Ranked {
  id: string;
  rank: string;
}

interface VisitorRow {
  id: string;
  kind: VisitorView['kind'];
  label_sealed: Buffer | null;
  key_label: string;
  keys: number;
  keys_active: number;
  spent_nano: string;
  calls: number;
  first_at: Date | null;
  last_at: Date | null;
  checks: number;
  flagged: number;
  blocked: number;
  blocked_at: Date | null;
  erased_at: Date | null;
}

/**
 * All visitors, by how many of their checks were flagged or blocked, by what share of their checks that is, in parts of
 * 10,000, or by what they spent, as booked.
 */
const RANKED: Record<ListVisitors['sort'], string> = {
  flagged: `
    SELECT visitor.id, coalesce(judged.checks, 0) AS rank
      FROM (SELECT DISTINCT coalesce(claimant_id, id) AS id FROM access.keys) visitor
      LEFT JOIN (SELECT checks.visitor_id, count(*) AS checks FROM audit.checks WHERE ${isFlagged('checks')} GROUP BY 1) judged ON judged.visitor_id = visitor.id`,
  share: `
    SELECT visitor.id, coalesce(judged.share, 0) AS rank
      FROM (SELECT DISTINCT coalesce(claimant_id, id) AS id FROM access.keys) visitor
      LEFT JOIN (
        SELECT refused.visitor_id, refused.checks * 10000 / (SELECT count(*) FROM audit.checks every WHERE every.visitor_id = refused.visitor_id) AS share
          FROM (SELECT checks.visitor_id, count(*) AS checks FROM audit.checks WHERE ${isFlagged('checks')} GROUP BY 1) refused
      ) judged ON judged.visitor_id = visitor.id`,
  spent: `
    SELECT coalesce(key.claimant_id, key.id) AS id, coalesce(sum(balance.spent_nano), 0) AS rank
      FROM access.keys key LEFT JOIN ledger.balances balance ON balance.owner = 'key:' || key.id GROUP BY 1`,
};

const VISITORS = `
  SELECT asked.id, coalesce(claimant.kind, 'key') AS kind, claimant.label_sealed, claimant.blocked_at, visitor.erased_at,
         held.keys, held.keys_active, held.spent_nano, held.key_label, called.*, judged.*
    FROM unnest($1::text[]) AS asked (id)
    LEFT JOIN access.claimants claimant ON claimant.id = asked.id
    LEFT JOIN audit.visitors visitor ON visitor.id = asked.id
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS keys, count(*) FILTER (WHERE key.status = 'active' AND (key.expires_at IS NULL OR key.expires_at > now()))::int AS keys_active,
             coalesce(sum(balance.spent_nano), 0) AS spent_nano, coalesce(max(key.label), '') AS key_label
        FROM access.keys key LEFT JOIN ledger.balances balance ON balance.owner = 'key:' || key.id
       WHERE key.claimant_id = asked.id OR (key.id = asked.id AND key.claimant_id IS NULL)
    ) held
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS calls, min(at) AS first_at, max(at) AS last_at FROM audit.requests WHERE requests.visitor_id = asked.id
    ) called
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS checks, count(*) FILTER (WHERE decision = 'flagged')::int AS flagged, count(*) FILTER (WHERE decision = 'blocked')::int AS blocked
        FROM audit.checks WHERE checks.visitor_id = asked.id
    ) judged`;

/** Visitors as the admin API shows them: claimants with all of their keys, and keys that nobody identified. */
@Injectable()
export class VisitorList {
  constructor(
    private readonly work: UnitOfWork,
    private readonly visitors: VisitorFinder,
    private readonly vault: VisitorVault,
    private readonly struck: StrikeRepository,
  ) {}

  async page({ sort, rank, limit }: ListVisitors): Promise<Page<VisitorView>> {
    const after: Rank | null = rank ?? null;
    const ranked = await this.work.manager.query<Ranked[]>(
      `SELECT id, rank::text FROM (${RANKED[sort]}) ranked WHERE $1::bigint IS NULL OR (rank, id) < ($1, $2) ORDER BY ranked.rank DESC, id DESC LIMIT $3`,
      [after?.value ?? null, after?.id ?? null, limit + 1],
    );
    const views = new Map((await this.show(ranked.map(({ id }) => id))).map((view) => [view.id, view]));
    return cutPage(
      ranked,
      limit,
      ({ id, rank: value }) => writeRank(sort, { id, value }),
      ({ id }) => views.get(id)!,
    );
  }

  /** @throws AdminError `not_found` */
  async read(id: string): Promise<VisitorView> {
    await this.visitors.find(this.work.manager, id);
    return (await this.show([id]))[0]!;
  }

  /** The strikes of all keys of a visitor, newest first. @throws AdminError `not_found` */
  async strikes(id: string, { cursor, limit }: List): Promise<Page<StrikeView>> {
    const { manager } = this.work;
    const keys = await this.visitors.keysOf(manager, await this.visitors.find(manager, id));
    const rows = await this.struck.ofKeys(manager, keys, limit + 1, cursor ?? null);
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.requestId }), showStrike);
  }

  private async show(ids: readonly string[]): Promise<VisitorView[]> {
    const rows = await this.work.manager.query<VisitorRow[]>(VISITORS, [ids]);
    return Promise.all(rows.map((row) => this.view(row)));
  }

  private async view({ label_sealed: sealed, key_label, spent_nano, ...row }: VisitorRow): Promise<VisitorView> {
    const { manager } = this.work;
    const label =
      row.kind === 'key' ? key_label || null : sealed && (await this.vault.open(manager, row.id, row.id, sealed));
    return {
      ...row,
      label,
      spent_usd: formatUsd(BigInt(spent_nano)),
      first_at: row.first_at?.toISOString() ?? null,
      last_at: row.last_at?.toISOString() ?? null,
      blocked_at: row.blocked_at?.toISOString() ?? null,
      erased_at: row.erased_at?.toISOString() ?? null,
    };
  }
}
