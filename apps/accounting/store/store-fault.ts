import { QueryFailedError } from 'typeorm';

/** `value`: Postgres cannot store a value of the request. `away`: a store does not answer. null: it is no store's fault. */
export function storeFault(error: unknown): 'value' | 'away' | null {
  const { code = '', message = '' } = (error ?? {}) as { code?: string; message?: string };
  if (error instanceof QueryFailedError && /^22/.test((error.driverError as { code?: string }).code ?? ''))
    return 'value';
  // SQLSTATE 08 (connection), 53 (resources), 57 (shutdown, timeout), and what sockets and ioredis say.
  const away =
    /^(08|53|57)/.test(code) ||
    /^E[A-Z]+$/.test(code) ||
    /^(LOADING|OOM|READONLY|BUSY|MASTERDOWN)|connect|Connection|Command timed out|enableOfflineQueue|MaxRetries|timeout/.test(
      message,
    );
  return away ? 'away' : null;
}

/** Only errors of Postgres and of sockets have a code. Its pool has words of its own. */
export function storeAway(exception: unknown): 'Postgres' | 'Redis' {
  const { code = '', message = '' } = exception as { code?: string; message?: string };
  return code !== '' || /^(Connection terminated|timeout exceeded)/.test(message) ? 'Postgres' : 'Redis';
}
