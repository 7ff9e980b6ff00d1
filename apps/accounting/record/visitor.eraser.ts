import { Injectable } from '@nestjs/common';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { AdminError } from '../domain/admin.error.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AuditRepository } from './audit.repository.js';

export interface ErasedVisitor {
  id: string;
  erased_at: string;
}

/**
 * Destroys the secret of a visitor's content, so that nobody can read it again, and deletes what Redis keeps of it.
 * Requests, checks and verdicts stay.
 */
@Injectable()
export class VisitorEraser {
  constructor(
    private readonly work: UnitOfWork,
    private readonly audit: AuditRepository,
    private readonly shelf: ShelfStore,
  ) {}

  /** A repeat gets the first answer. @throws AdminError `not_found`, or `conflict` while the visitor can still call */
  erase(id: string, note: string | null): Promise<ErasedVisitor> {
    return this.work.run(async ({ manager }) => {
      // The head before the visitor, as the drain does, so that neither deadlocks.
      await this.audit.lockHead(manager);
      const [visitor] = await manager.query<{ erased_at: Date | null }[]>(
        'SELECT erased_at FROM audit.visitors WHERE id = $1 FOR UPDATE',
        [id],
      );
      if (!visitor) throw new AdminError('not_found', `There is no visitor '${id.slice(0, 100)}' in the record.`);
      if (visitor.erased_at) return { id, erased_at: visitor.erased_at.toISOString() };
      const [active] = await manager.query<unknown[]>(
        `SELECT 1 FROM access.keys WHERE id = $1 AND status <> 'revoked'`,
        [id],
      );
      if (active)
        throw new AdminError(
          'conflict',
          `The key of '${id}' is in use: revoke it first, so that nothing new comes to be erased. Nothing was changed.`,
        );
      const now = new Date();
      await this.shelf.forget(id);
      await manager.query('UPDATE audit.visitors SET wrapped_key = NULL, erased_at = $2 WHERE id = $1', [id, now]);
      await this.audit.appendAct(manager, { act: 'erasure', subject: id, note, atMs: now.getTime() });
      return { id, erased_at: now.toISOString() };
    });
  }
}
