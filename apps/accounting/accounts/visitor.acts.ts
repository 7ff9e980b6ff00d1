import { Injectable } from '@nestjs/common';
import { In, type EntityManager } from 'typeorm';
import { AuditRepository } from '../record/audit.repository.js';
import { ReviewQueue } from '../record/review.queue.js';
import { VisitorFinder } from '../record/visitor.finder.js';
import { AdminError } from '../domain/admin.error.js';
import { STATUS_AFTER, type KeyAction } from '../domain/key-status.js';
import { Key } from '../store/entities/key.entity.js';
import { AccountWriter } from './account.writer.js';
import { KeyBulk } from './key.bulk.js';

export interface ChangedVisitor {
  id: string;
  keys_changed: number;
}

/** The keys of a visitor that each act changes. To reinstate an active key forgets its strikes. */
const CHANGED_BY: Record<KeyAction, Key['status'][]> = {
  suspend: ['active'],
  reinstate: ['active', 'suspended'],
  revoke: ['active', 'suspended'],
};
const SAID: Record<KeyAction, string> = { suspend: 'suspended', reinstate: 'reinstated', revoke: 'revoked' };

/** What a person, or a notice of the provider, decides about a visitor: about all keys of it at once. */
@Injectable()
export class VisitorActs {
  constructor(
    private readonly writer: AccountWriter,
    private readonly bulk: KeyBulk,
    private readonly visitors: VisitorFinder,
    private readonly audit: AuditRepository,
    private readonly reviews: ReviewQueue,
  ) {}

  /**
   * A suspended claimant claims no more, until a person reinstates it. Then its strikes are forgotten, and it may claim
   * again, unless a person blocked it. @throws AdminError `not_found`
   */
  async setStatus(
    id: string,
    action: KeyAction,
    note: string | null,
    by: 'person' | 'provider' = 'person',
  ): Promise<ChangedVisitor> {
    let changed = 0;
    await this.writer.changeMany(async (manager) => {
      const visitor = await this.visitors.find(manager, id);
      const ids = await this.visitors.keysOf(manager, visitor, CHANGED_BY[action]);
      const keys = await manager.find(Key, {
        where: { id: In(ids), status: In(CHANGED_BY[action]) },
        order: { id: 'ASC' },
        lock: { mode: 'pessimistic_write' },
      });
      changed = keys.filter(({ status }) => status !== STATUS_AFTER[action]).length;
      const locked = keys.map((key) => key.id);
      const after = await this.bulk.setStatus(manager, locked, action, note, by);
      if (visitor.isClaimant) {
        // A holder may ask for its erasure again and again. An end that ends nothing is no act.
        const isAct = action !== 'revoke' || keys.length > 0;
        if (by === 'person' && isAct) await this.say(manager, id, SAID[action], note);
        if (action === 'suspend') await block(manager, id, 'suspension');
        if (action === 'reinstate') await unblock(manager, id, ['suspension']);
      }
      if (by === 'person') await this.reviews.decided(manager, [id]);
      return after;
    });
    return { id, keys_changed: changed };
  }

  /** The claimant claims no more; its keys stay as they are. @throws AdminError `not_found`, `conflict` */
  block(id: string, note: string | null): Promise<ChangedVisitor> {
    return this.decide(id, 'blocked', note, (manager) => block(manager, id, 'person'));
  }

  /** It may claim again, whoever blocked it. @throws AdminError `not_found`, `conflict` */
  unblock(id: string, note: string | null): Promise<ChangedVisitor> {
    return this.decide(id, 'unblocked', note, (manager) => unblock(manager, id, ['suspension', 'person']));
  }

  private async decide(
    id: string,
    done: string,
    note: string | null,
    work: (manager: EntityManager) => Promise<void>,
  ): Promise<ChangedVisitor> {
    await this.writer.changeMany(async (manager) => {
      const { isClaimant } = await this.visitors.find(manager, id);
      if (!isClaimant)
        throw new AdminError(
          'conflict',
          `'${id}' is a key that nobody identified, so that it claims nothing. Suspend or revoke it instead. Nothing was changed.`,
        );
      await this.say(manager, id, done, note);
      await work(manager);
      await this.reviews.decided(manager, [id]);
      return [];
    });
    return { id, keys_changed: 0 };
  }

  private say(manager: EntityManager, id: string, done: string, note: string | null): Promise<void> {
    return this.audit.appendAct(manager, {
      act: 'visitor',
      subject: id,
      note: note === null ? done : `${done}: ${note}`,
    });
  }
}

/** A person's block stays when somebody reinstates the visitor. */
async function block(manager: EntityManager, id: string, by: 'suspension' | 'person'): Promise<void> {
  await manager.query(
    `UPDATE access.claimants SET blocked_at = coalesce(blocked_at, now()), blocked_by = CASE WHEN blocked_by = 'person' THEN blocked_by ELSE $2 END
      WHERE id = $1`,
    [id, by],
  );
}

async function unblock(manager: EntityManager, id: string, from: readonly string[]): Promise<void> {
  await manager.query(
    'UPDATE access.claimants SET blocked_at = NULL, blocked_by = NULL WHERE id = $1 AND blocked_by = ANY ($2)',
    [id, from],
  );
}
