import { Injectable } from '@nestjs/common';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { ActView } from '#libs/contracts/admin/safety.js';
import { inBatches } from '../batches.js';
import { pageOf, type Cursor } from '../domain/cursor.js';
import type { FilterActs, ListActs } from '../schemas/audit.schemas.js';
import { UnitOfWork } from '../store/unit-of-work.js';

interface ActRow extends Omit<ActView, 'at'> {
  at: Date;
}

/** What people, the provider and Daypass itself did, as the admin API lists it. */
@Injectable()
export class ActList {
  constructor(private readonly work: UnitOfWork) {}

  async page({ cursor, limit, ...filters }: ListActs): Promise<Page<ActView>> {
    const rows = await this.find(filters, limit + 1, cursor ?? null);
    return pageOf(rows, limit, cursorOf, show);
  }

  /** All of them, newest first. */
  async *export(filters: FilterActs): AsyncGenerator<ActView> {
    for await (const row of inBatches((after: Cursor | null, count) => this.find(filters, count, after), cursorOf))
      yield show(row);
  }

  private find(
    { subject, actor, act, since, until }: FilterActs,
    count: number,
    after: Cursor | null,
  ): Promise<ActRow[]> {
    const conditions = ['true'];
    const values: unknown[] = [];
    const put = (value: unknown): string => `$${values.push(value)}`;
    if (subject !== undefined) conditions.push(`subject = ${put(subject)}`);
    if (actor !== undefined) conditions.push(`actor = ${put(actor)}`);
    if (act !== undefined) conditions.push(`kind = ${put(act)}`);
    if (since !== undefined) conditions.push(`at >= ${put(since)}`);
    if (until !== undefined) conditions.push(`at < ${put(until)}`);
    if (after) conditions.push(`(at, id) < (${put(after.at)}, ${put(after.id)})`);
    return this.work.manager.query<ActRow[]>(
      `SELECT id, at, kind AS act, subject, note, actor FROM audit.acts WHERE ${conditions.join(' AND ')} ORDER BY at DESC, id DESC LIMIT ${put(count)}`,
      values,
    );
  }
}

const cursorOf = ({ at, id }: ActRow): Cursor => ({ at, id });
const show = ({ at, ...row }: ActRow): ActView => ({ ...row, at: at.toISOString() });
