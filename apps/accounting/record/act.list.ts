import { Injectable } from '@nestjs/common';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { ActView } from '#libs/contracts/admin/safety.js';
import { pageOf } from '../domain/cursor.js';
import type { ListActs } from '../schemas/audit.schemas.js';
import { UnitOfWork } from '../store/unit-of-work.js';

interface ActRow extends Omit<ActView, 'at'> {
  at: Date;
}

/** What people, the provider and Daypass itself did, as the admin API lists it. */
@Injectable()
export class ActList {
  constructor(private readonly work: UnitOfWork) {}

  async page({ cursor, limit, subject, actor, act, since, until }: ListActs): Promise<Page<ActView>> {
    const conditions = ['true'];
    const values: unknown[] = [];
    const put = (value: unknown): string => `$${values.push(value)}`;
    if (subject !== undefined) conditions.push(`subject = ${put(subject)}`);
    if (actor !== undefined) conditions.push(`actor = ${put(actor)}`);
    if (act !== undefined) conditions.push(`kind = ${put(act)}`);
    if (since !== undefined) conditions.push(`at >= ${put(since)}`);
    if (until !== undefined) conditions.push(`at < ${put(until)}`);
    if (cursor) conditions.push(`(at, id) < (${put(cursor.at)}, ${put(cursor.id)})`);
    const rows = await this.work.manager.query<ActRow[]>(
      `SELECT id, at, kind AS act, subject, note, actor FROM audit.acts WHERE ${conditions.join(' AND ')} ORDER BY at DESC, id DESC LIMIT ${put(limit + 1)}`,
      values,
    );
    return pageOf(
      rows,
      limit,
      ({ at, id }) => ({ at, id }),
      ({ at, ...row }) => ({ ...row, at: at.toISOString() }),
    );
  }
}
