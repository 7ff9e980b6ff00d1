import { Injectable } from '@nestjs/common';
import { In, type EntityManager, type SelectQueryBuilder } from 'typeorm';
import type { BulkOutcome } from '#libs/contracts/admin/answers.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { AuditRepository } from '../record/audit.repository.js';
import { ReviewQueue } from '../record/review.queue.js';
import { VisitorFinder } from '../record/visitor.finder.js';
import { isKeyId } from '../domain/account-id.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { DUE_AT_ONCE, keyAct, raiseAct, STATUS_AFTER, type KeyAction, type KeyRaise } from '../domain/key-status.js';
import { raisedTerms } from '../domain/key-terms.js';
import { KEYS_MAX, type Bulk } from '../schemas/key.schemas.js';
import { Key } from '../store/entities/key.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AccountWriter } from './account.writer.js';
import { filterKeys } from './key.filter.js';

interface Choice {
  keys: Key[];
  outcome: Pick<BulkOutcome, 'matched' | 'remaining' | 'failed'>;
}

/** The statuses that each action changes, where a filter chooses the keys. */
const CHANGED_BY: Record<KeyAction, Key['status'][]> = {
  suspend: ['active'],
  reinstate: ['suspended'],
  revoke: ['active', 'suspended'],
};

/** What more time and budget are for. */
const LIVING: Key['status'][] = ['active', 'suspended'];

const CHANGE = `
  UPDATE access.keys
     SET status = $2, status_note = coalesce($3, CASE WHEN status = $2 THEN status_note END),
         settle_at = CASE WHEN $2 = 'revoked' AND status <> 'revoked' THEN $4 ELSE settle_at END,
         revoked_at = CASE WHEN $2 = 'revoked' AND status <> 'revoked' THEN $5 ELSE revoked_at END,
         strikes_since = CASE WHEN $2 = 'active' THEN $5 ELSE strikes_since END,
         version = version + 1, updated_at = $5
   WHERE id = ANY ($1)`;

const RAISE = `
  UPDATE access.keys
     SET budget_nano = given.budget, expires_at = given.expires_at, ttl_from_use_seconds = given.ttl, returned_nano = given.returned,
         closed_at = given.closed_at, settle_at = given.settle_at, version = version + 1, updated_at = $8
    FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::int[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
         AS given (id, budget, expires_at, ttl, returned, closed_at, settle_at)
   WHERE keys.id = given.id`;

type Action = { status: KeyAction } | { raise: KeyRaise };

/**
 * Suspends, reinstates or revokes many keys, or gives them time or budget, in one transaction: all that it chooses, or
 * none.
 */
@Injectable()
export class KeyBulk {
  constructor(
    private readonly work: UnitOfWork,
    private readonly writer: AccountWriter,
    private readonly audit: AuditRepository,
    private readonly ledger: LedgerRepository,
    private readonly visitors: VisitorFinder,
    private readonly reviews: ReviewQueue,
  ) {}

  async run({ note, dry_run, ids, filter, ...request }: Bulk): Promise<BulkOutcome> {
    const action = actionOf(request);
    const choose = (manager: EntityManager, lock: boolean): Promise<Choice> =>
      this.choose(manager, { ids, filter }, action, note, lock);
    if (dry_run) return answer(await choose(this.work.manager, false), true);
    let choice: Choice | undefined;
    await this.writer.changeMany(async (manager) => {
      choice = await choose(manager, true);
      if (choice.keys.length === 0) return [];
      return 'raise' in action
        ? this.raise(manager, choice.keys, action.raise, note ?? null)
        : this.setStatus(
            manager,
            choice.keys.map(({ id }) => id),
            action.status,
            note ?? null,
          );
    });
    return answer(choice!, false);
  }

  /**
   * Locked keys, none of them revoked, in the transaction. Returns them as they stand then. Of what a notice of the
   * provider leads to, the safety desk tells the record.
   */
  async setStatus(
    manager: EntityManager,
    ids: readonly string[],
    action: KeyAction,
    note: string | null,
    by: 'person' | 'provider' = 'person',
  ): Promise<Key[]> {
    if (ids.length === 0) return [];
    const status = STATUS_AFTER[action];
    await manager.query(CHANGE, [ids, status, note, DUE_AT_ONCE, new Date()]);
    if (by === 'person') {
      // The record's head before reviews, as the eraser does, so that neither deadlocks.
      await this.audit.appendActs(
        manager,
        ids.map((id) => keyAct(id, status, note)),
      );
      await this.reviews.decided(manager, await this.visitors.visitorsOf(manager, ids));
    }
    return manager.findBy(Key, { id: In(ids) });
  }

  private async raise(manager: EntityManager, keys: Key[], raise: KeyRaise, note: string | null): Promise<Key[]> {
    const now = new Date();
    const given = keys.map((key) => ({ key, terms: raisedTerms(raise, key, now) as Exclude<Terms, string> }));
    await manager.query(RAISE, [
      keys.map(({ id }) => id),
      given.map(({ terms }) => terms.budgetNano.toString()),
      given.map(({ terms }) => terms.expiresAt),
      given.map(({ terms }) => terms.ttlFromUseSeconds),
      given.map(({ terms }) => terms.returnedNano.toString()),
      given.map(({ terms }) => terms.closedAt),
      given.map(({ terms }) => terms.returnDueAt),
      now,
    ]);
    await this.ledger.book(
      manager,
      given.flatMap(({ key: { id, campaignId, budgetNano, version }, terms }) =>
        keyBudgetTransfers({
          campaignId,
          keyId: id,
          deltaNano: terms.budgetNano - budgetNano,
          version: version + 1,
          at: now,
        }),
      ),
    );
    await this.audit.appendActs(
      manager,
      keys.map(({ id }) => raiseAct(id, raise, note)),
    );
    return manager.findBy(Key, { id: In(keys.map(({ id }) => id)) });
  }

  private async choose(
    manager: EntityManager,
    { ids, filter }: Pick<Bulk, 'ids' | 'filter'>,
    action: Action,
    note: string | undefined,
    lock: boolean,
  ): Promise<Choice> {
    const query = manager.createQueryBuilder(Key, 'key').where('true');
    if (ids !== undefined) return byIds(query, [...new Set(ids)], action, note, lock);
    filterKeys(query, filter ?? {});
    const from = 'raise' in action ? LIVING : CHANGED_BY[action.status];
    return byFilter(query.andWhere('key.status IN (:...from)', { from }), action, lock);
  }
}

type Terms = ReturnType<typeof raisedTerms>;

function actionOf({ action, ttl_seconds, amount_usd }: Pick<Bulk, 'action' | 'ttl_seconds' | 'amount_usd'>): Action {
  if (action === 'extend') return { raise: { ttlSeconds: ttl_seconds! } };
  if (action === 'fund') return { raise: { amountNano: amount_usd! } };
  return { status: action };
}

async function byIds(
  query: SelectQueryBuilder<Key>,
  ids: string[],
  action: Action,
  note: string | undefined,
  lock: boolean,
): Promise<Choice> {
  const found = await take(query.andWhere('key.id = ANY (:ids)', { ids: ids.filter(isKeyId) }), lock);
  const known = new Set(found.map(({ id }) => id));
  const failed = ids.filter((id) => !known.has(id)).map((id) => ({ id, why: 'there is no such key' }));
  const keys: Key[] = [];
  const now = new Date();
  const status = 'raise' in action ? null : STATUS_AFTER[action.status];
  for (const key of found) {
    const why = faultOf(key, action, now);
    if (why !== null) failed.push({ id: key.id, why });
    // To reinstate a key that is active forgets its strikes.
    else if (key.status !== status || status === 'active' || note !== undefined) keys.push(key);
  }
  return { keys, outcome: { matched: found.length, remaining: 0, failed } };
}

async function byFilter(query: SelectQueryBuilder<Key>, action: Action, lock: boolean): Promise<Choice> {
  const matched = await query.getCount();
  const found = await take(query, lock);
  const now = new Date();
  const faults = found.map((key) => ({ id: key.id, why: faultOf(key, action, now) }));
  const failed = faults.flatMap(({ id, why }) => (why === null ? [] : [{ id, why }]));
  const keys = found.filter((_, index) => faults[index]!.why === null);
  return { keys, outcome: { matched, remaining: Math.max(0, matched - found.length), failed } };
}

/** null: the key can be changed so. */
function faultOf(key: Key, action: Action, now: Date): string | null {
  if (key.status === 'revoked' && !('status' in action && action.status === 'revoke'))
    return 'it is revoked, which is final';
  if (!('raise' in action)) return null;
  const terms = raisedTerms(action.raise, key, now);
  return typeof terms === 'string' ? terms : null;
}

/** In the order of their ids, so that two requests wait for each other instead of deadlocking. */
function take(query: SelectQueryBuilder<Key>, lock: boolean): Promise<Key[]> {
  const ordered = query.orderBy('key.id').limit(KEYS_MAX);
  return (lock ? ordered.setLock('pessimistic_write') : ordered).getMany();
}

function answer({ keys, outcome }: Choice, isTrial: boolean): BulkOutcome {
  return { dry_run: isTrial, ...outcome, changed: keys.length };
}
