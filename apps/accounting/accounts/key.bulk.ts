import { Injectable } from '@nestjs/common';
import { In, type EntityManager, type SelectQueryBuilder } from 'typeorm';
import { AuditRepository } from '../record/audit.repository.js';
import { isKeyId } from '../domain/account-id.js';
import { DUE_AT_ONCE, keyAct, STATUS_AFTER, type KeyAction } from '../domain/key-status.js';
import { KEYS_MAX, type Bulk } from '../schemas/key.schemas.js';
import { Key } from '../store/entities/key.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AccountWriter } from './account.writer.js';
import { filterKeys } from './key.filter.js';

export interface BulkOutcome {
  /** Nothing was changed: `changed` says what would have been. */
  dry_run: boolean;
  /** Keys that the ids name, or that the filter finds and the action would change. */
  matched: number;
  changed: number;
  /** Keys beyond the most that one request changes: send it again. */
  remaining: number;
  failed: { id: string; why: string }[];
}

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

const CHANGE = `
  UPDATE access.keys
     SET status = $2, status_note = coalesce($3, CASE WHEN status = $2 THEN status_note END),
         settle_at = CASE WHEN $2 = 'revoked' AND status <> 'revoked' THEN $4 ELSE settle_at END,
         revoked_at = CASE WHEN $2 = 'revoked' AND status <> 'revoked' THEN $5 ELSE revoked_at END,
         strikes_since = CASE WHEN $2 = 'active' THEN $5 ELSE strikes_since END,
         version = version + 1, updated_at = $5
   WHERE id = ANY ($1)`;

/** Suspends, reinstates or revokes many keys in one transaction: all that it chooses, or none. */
@Injectable()
export class KeyBulk {
  constructor(
    private readonly work: UnitOfWork,
    private readonly writer: AccountWriter,
    private readonly audit: AuditRepository,
  ) {}

  async run({ note, dry_run, ...request }: Bulk): Promise<BulkOutcome> {
    if (dry_run) return answer(await this.choose(this.work.manager, request, note, false), true);
    let choice: Choice | undefined;
    await this.writer.changeMany(async (manager) => {
      choice = await this.choose(manager, request, note, true);
      return this.change(manager, choice.keys, request.action, note ?? null);
    });
    return answer(choice!, false);
  }

  private async change(manager: EntityManager, keys: Key[], action: KeyAction, note: string | null): Promise<Key[]> {
    if (keys.length === 0) return [];
    const ids = keys.map(({ id }) => id);
    const status = STATUS_AFTER[action];
    await manager.query(CHANGE, [ids, status, note, DUE_AT_ONCE, new Date()]);
    await this.audit.appendActs(
      manager,
      ids.map((id) => keyAct(id, status, note)),
    );
    return manager.findBy(Key, { id: In(ids) });
  }

  private choose(
    manager: EntityManager,
    { ids, filter, action }: Pick<Bulk, 'ids' | 'filter' | 'action'>,
    note: string | undefined,
    lock: boolean,
  ): Promise<Choice> {
    const query = manager.createQueryBuilder(Key, 'key').where('true');
    if (ids !== undefined) return byIds(query, [...new Set(ids)], action, note, lock);
    filterKeys(query, filter ?? {});
    return byFilter(query.andWhere('key.status IN (:...from)', { from: CHANGED_BY[action] }), lock);
  }
}

async function byIds(
  query: SelectQueryBuilder<Key>,
  ids: string[],
  action: KeyAction,
  note: string | undefined,
  lock: boolean,
): Promise<Choice> {
  const found = await take(query.andWhere('key.id = ANY (:ids)', { ids: ids.filter(isKeyId) }), lock);
  const known = new Set(found.map(({ id }) => id));
  const status = STATUS_AFTER[action];
  const failed = ids.filter((id) => !known.has(id)).map((id) => ({ id, why: 'there is no such key' }));
  const keys: Key[] = [];
  for (const key of found) {
    if (key.status === 'revoked' && status !== 'revoked')
      failed.push({ id: key.id, why: 'it is revoked, which is final' });
    // To reinstate a key that is active forgets its strikes.
    else if (key.status !== status || status === 'active' || note !== undefined) keys.push(key);
  }
  return { keys, outcome: { matched: found.length, remaining: 0, failed } };
}

async function byFilter(query: SelectQueryBuilder<Key>, lock: boolean): Promise<Choice> {
  const matched = await query.getCount();
  const keys = await take(query, lock);
  return { keys, outcome: { matched, remaining: Math.max(0, matched - keys.length), failed: [] } };
}

/** In the order of their ids, so that two requests wait for each other instead of deadlocking. */
function take(query: SelectQueryBuilder<Key>, lock: boolean): Promise<Key[]> {
  const ordered = query.orderBy('key.id').limit(KEYS_MAX);
  return (lock ? ordered.setLock('pessimistic_write') : ordered).getMany();
}

function answer({ keys, outcome }: Choice, isTrial: boolean): BulkOutcome {
  return { dry_run: isTrial, ...outcome, changed: keys.length };
}
