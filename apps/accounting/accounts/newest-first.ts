import type { SelectQueryBuilder } from 'typeorm';
import type { Page } from '#libs/contracts/admin/answers.js';
import { pageOf, type Cursor } from '../domain/cursor.js';

/** A page of accounts, newest first, from the cursor on. `show` may return the views in any order. */
export async function newestFirst<Row extends { id: string; createdAt: Date }, View extends { id: string }>(
  query: SelectQueryBuilder<Row>,
  { cursor, limit }: { cursor?: Cursor | undefined; limit: number },
  show: (rows: Row[]) => Promise<View[]>,
): Promise<Page<View>> {
  const { alias } = query;
  if (cursor) query.andWhere(`(${alias}.created_at, ${alias}.id) < (:at, :id)`, cursor);
  const rows = await query
    .orderBy(`${alias}.created_at`, 'DESC')
    .addOrderBy(`${alias}.id`, 'DESC')
    .limit(limit + 1)
    .getMany();
  const views = new Map((await show(rows)).map((view) => [view.id, view]));
  return pageOf(
    rows,
    limit,
    ({ createdAt, id }) => ({ at: createdAt, id }),
    ({ id }) => views.get(id)!,
  );
}
