import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AdminError } from '../domain/admin.error.js';
import { PreparedStatement } from '../store/prepared.statement.js';

/** A claimant with all of its keys; or a key that nobody identified, which is its own visitor. */
export interface FoundVisitor {
  id: string;
  isClaimant: boolean;
}

const CLAIMANTS = new PreparedStatement<{ id: string; claimant_id: string }>(
  'SELECT id, claimant_id FROM access.keys WHERE id = ANY ($1) AND claimant_id IS NOT NULL',
);

/** Which visitor a key belongs to, by the books. */
@Injectable()
export class VisitorFinder {
  /** By key: its claimant, where it has one. */
  async claimantsOf(manager: EntityManager, keyIds: readonly string[]): Promise<Map<string, string>> {
    if (keyIds.length === 0) return new Map();
    const rows = await CLAIMANTS.run(manager, [keyIds]);
    return new Map(rows.map(({ id, claimant_id }) => [id, claimant_id]));
  }

  /** The visitor that each of the keys belongs to, each once. */
  async visitorsOf(manager: EntityManager, keyIds: readonly string[]): Promise<string[]> {
    const claimants = await this.claimantsOf(manager, keyIds);
    return [...new Set(keyIds.map((id) => claimants.get(id) ?? id))];
  }

  /** @throws AdminError `not_found`, which names the claimant of a key that has one */
  async find(manager: EntityManager, id: string): Promise<FoundVisitor> {
    const [claimant] = await manager.query<unknown[]>('SELECT 1 FROM access.claimants WHERE id = $1', [id]);
    if (claimant) return { id, isClaimant: true };
    const [key] = await manager.query<{ claimant_id: string | null }[]>(
      'SELECT claimant_id FROM access.keys WHERE id = $1',
      [id],
    );
    if (key && key.claimant_id === null) return { id, isClaimant: false };
    const instead = key ? ` The key belongs to the visitor '${key.claimant_id}': name that one.` : '';
    throw new AdminError('not_found', `There is no visitor '${id.slice(0, 100)}'.${instead}`);
  }

  /** Its keys that are in one of the statuses, oldest id first. */
  async keysOf(
    manager: EntityManager,
    { id, isClaimant }: FoundVisitor,
    statuses: readonly string[] = ['active', 'suspended', 'revoked'],
  ): Promise<string[]> {
    const rows = await manager.query<{ id: string }[]>(
      `SELECT id FROM access.keys WHERE ${isClaimant ? 'claimant_id' : 'id'} = $1 AND status = ANY ($2) ORDER BY id`,
      [id, statuses],
    );
    return rows.map((row) => row.id);
  }
}
