import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { HOLDER, currentActor } from '../actor.js';
import { AdminError } from '../domain/admin.error.js';
import { periodOfRequest } from '../domain/period.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AuditRepository } from './audit.repository.js';

/** Nobody looks at what is older. A holder's erasure waits no longer for a review. */
export const REVIEW_DAYS = 30;
/** The overview says "1,000 or more" beyond it. */
export const COUNT_MAX = 1_000;

export const isFlagged = (check: string): string => `${check}.decision IN ('blocked', 'flagged')`;

/** Whether a person has seen a check: its call, or its visitor up to then. `check` is the alias of its table. */
export const isSeen = (check: string): string =>
  `(EXISTS (SELECT FROM access.reviews review WHERE review.visitor_id = ${check}.visitor_id AND review.reviewed_to >= ${check}.at)
    OR EXISTS (SELECT FROM access.reviewed_calls marked WHERE marked.request_id = ${check}.request_id))`;

export const isRecent = (check: string): string => `${check}.at > now() - interval '${REVIEW_DAYS} days'`;

/** A check that a person should look at. */
export const isWaiting = (check: string): string =>
  `${isFlagged(check)} AND ${isRecent(check)} AND NOT ${isSeen(check)}`;

/**
 * Blocked and flagged calls that no person has seen yet. A person saw what a visitor did when she suspends, reinstates,
 * revokes, blocks or erases it, or marks the call.
 */
@Injectable()
export class ReviewQueue {
  constructor(
    private readonly work: UnitOfWork,
    private readonly audit: AuditRepository,
  ) {}

  /** How many calls wait for a review, at most 1,000. */
  async unreviewed(): Promise<number> {
    const [row] = await this.work.manager.query<{ calls: number }[]>(
      `SELECT count(*)::int AS calls FROM (SELECT DISTINCT kept.request_id FROM audit.checks kept WHERE ${isWaiting('kept')} LIMIT ${COUNT_MAX}) waiting`,
    );
    return row?.calls ?? 0;
  }

  /** A person decides about these visitors. Their holders' own acts review nothing. */
  async decided(manager: EntityManager, visitorIds: readonly string[]): Promise<void> {
    if (visitorIds.length === 0 || currentActor() === HOLDER) return;
    await manager.query(
      `INSERT INTO access.reviews (visitor_id, reviewed_to) SELECT id, now() FROM unnest($1::text[]) AS given (id) ORDER BY id
       ON CONFLICT (visitor_id) DO UPDATE SET reviewed_to = excluded.reviewed_to`,
      [[...new Set(visitorIds)]],
    );
  }

  /** Marks one call as seen, once. @throws AdminError `not_found` */
  async mark(requestId: string, note: string | null): Promise<void> {
    await this.work.run(async ({ manager }) => {
      const [known] = await manager.query<unknown[]>('SELECT 1 FROM audit.requests WHERE id = $1 AND period = $2', [
        requestId,
        periodOfRequest(requestId),
      ]);
      if (!known) throw new AdminError('not_found', `There is no request '${requestId.slice(0, 100)}' in the record.`);
      const marked = await manager.query<unknown[]>(
        'INSERT INTO access.reviewed_calls (request_id, at) VALUES ($1, now()) ON CONFLICT DO NOTHING RETURNING request_id',
        [requestId],
      );
      if (marked.length > 0) await this.audit.appendAct(manager, { act: 'reviewed', subject: requestId, note });
    });
  }
}
