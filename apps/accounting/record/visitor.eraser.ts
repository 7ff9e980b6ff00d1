import { Injectable } from '@nestjs/common';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { AdminError } from '../domain/admin.error.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AuditRepository } from './audit.repository.js';
import { ReviewQueue } from './review.queue.js';
import { VisitorFinder } from './visitor.finder.js';

export interface ErasedVisitor {
  id: string;
  erased_at: string;
}

/**
 * Destroys the secret of a visitor's content, so that nobody can read it again. It deletes what Redis keeps of the
 * visitor, and what people call the claimant, also on the keys and codes of its claims. Requests, checks, verdicts and the
 * claimant's hash stay: nobody claims twice.
 */
@Injectable()
export class VisitorEraser {
  constructor(
    private readonly work: UnitOfWork,
    private readonly audit: AuditRepository,
    private readonly shelf: ShelfStore,
    private readonly visitors: VisitorFinder,
    private readonly reviews: ReviewQueue,
  ) {}

  /** A repeat gets the first answer. @throws AdminError `not_found`, or `conflict` while the visitor can still call */
  erase(id: string, note: string | null): Promise<ErasedVisitor> {
    return this.work.run(async ({ manager }) => {
      // Keys before the head, as all acts about them do. The head before the visitor, as the drain does. So none deadlocks.
      await manager.query('SELECT id FROM access.keys WHERE claimant_id = $1 ORDER BY id FOR UPDATE', [id]);
      await this.audit.lockHead(manager);
      const [known] = await manager.query<{ erased_at: Date | null }[]>(
        'SELECT erased_at FROM audit.visitors WHERE id = $1 FOR UPDATE',
        [id],
      );
      if (known?.erased_at) return { id, erased_at: known.erased_at.toISOString() };
      const visitor = await this.visitors.find(manager, id);
      const keys = await this.visitors.keysOf(manager, visitor);
      const [active] = await this.visitors.keysOf(manager, visitor, ['active', 'suspended']);
      if (active !== undefined)
        throw new AdminError(
          'conflict',
          `The key ${active === id ? 'of' : `'${active}' of`} '${id}' is in use: revoke it first, so that nothing new comes to be erased. Nothing was changed.`,
        );
      const now = new Date();
      for (const key of keys) await this.shelf.forget(key);
      // A visitor without contents gets a row, too: what still waits for the record has no secret then.
      await manager.query(
        `INSERT INTO audit.visitors (id, erased_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET wrapped_key = NULL, erased_at = excluded.erased_at`,
        [id, now],
      );
      await manager.query('UPDATE access.claimants SET label_sealed = NULL WHERE id = $1', [id]);
      await manager.query(
        `UPDATE access.keys SET label = '', version = version + 1, updated_at = $2 WHERE claimant_id = $1 AND link_id IS NOT NULL AND label <> ''`,
        [id, now],
      );
      await manager.query(
        `UPDATE access.claim_codes SET label = '' WHERE id IN (SELECT code_id FROM access.claims WHERE claimant_id = $1)`,
        [id],
      );
      await manager.query('DELETE FROM access.waitlist WHERE claimant_id = $1', [id]);
      await manager.query('DELETE FROM access.erasures WHERE visitor_id = $1', [id]);
      await this.reviews.decided(manager, [id]);
      await this.audit.appendAct(manager, { act: 'erasure', subject: id, note, atMs: now.getTime() });
      return { id, erased_at: now.toISOString() };
    });
  }
}
