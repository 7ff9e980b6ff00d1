const BATCH = 1_000;

/**
 * All rows of a list in its order, read in batches: however many there are, one batch is in memory, and no connection of
 * Postgres waits for a slow reader.
 */
export async function* inBatches<Row, After>(
  find: (after: After | null, count: number) => Promise<readonly Row[]>,
  afterOf: (row: Row) => After,
): AsyncGenerator<Row> {
  for (let after: After | null = null; ;) {
    const rows: readonly Row[] = await find(after, BATCH);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < BATCH) return;
    after = afterOf(last);
  }
}
