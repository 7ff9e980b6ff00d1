import { QueryFailedError } from 'typeorm';

/**
 * Books entries together. Where Postgres will never take one of them, it books each alone and sets the bad ones aside,
 * so that the rest goes on. @throws when Postgres cannot take them now
 */
export async function bookOrSetAside<T>(
  entries: readonly T[],
  book: (entries: readonly T[]) => Promise<void>,
  setAside: (entry: T, reason: string) => Promise<void>,
): Promise<void> {
  try {
    await book(entries);
  } catch (error) {
    if (!isBadData(error)) throw error;
    if (entries.length === 1) return setAside(entries[0]!, error.message);
    for (const entry of entries) await bookOrSetAside([entry], book, setAside);
  }
}

/** SQLSTATE class 22 (data) and 23 (constraints): the same statement fails the same way for ever. */
function isBadData(error: unknown): error is QueryFailedError {
  const code = error instanceof QueryFailedError ? (error.driverError as { code?: string }).code : undefined;
  return code !== undefined && /^2[23]/.test(code);
}
