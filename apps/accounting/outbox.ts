import type { DataSource } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';

const PAUSE_MAX_SECONDS = 3_600;

/** A row that goes to somebody else. */
export interface Waiting {
  id: string;
  /** Tries so far, with the one that runs. */
  attempts: number;
}

interface Settings {
  /** It has `id`, `next_at` and `attempts`. */
  table: string;
  /** What its sender needs beside `id` and `attempts`. */
  columns: string;
  /** Which of its rows wait; absent: all. */
  where?: string;
  batch: number;
  /** So long a row belongs to the process that took it. */
  takenForSeconds: number;
  /** After 2 s, 4 s, … an hour. */
  attemptsMax: number;
  /** For the log: who did not take what. */
  refused: string;
  reasonOf: (error: unknown) => string | number;
}

/** Rows of a table that go out until whoever they are for takes them. Processes may share it: none sends another's row. */
export class Outbox<Row extends Waiting> {
  constructor(
    private readonly source: DataSource,
    private readonly logger: Logger,
    private readonly settings: Settings,
  ) {}

  /** Those whose time has come. */
  async take(): Promise<readonly Row[]> {
    const { table, columns, where = 'true', batch, takenForSeconds } = this.settings;
    const [due] = await this.source.query<[Row[], number]>(
      `UPDATE ${table} SET next_at = now() + make_interval(secs => $1), attempts = attempts + 1
        WHERE id IN (SELECT id FROM ${table} WHERE ${where} AND next_at <= now() ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING id, attempts, ${columns}`,
      [takenForSeconds, batch],
    );
    return due;
  }

  /** Where `send` throws, the row waits for another try. After the last one `giveUp` ends it. */
  async deliver({ id, attempts }: Row, send: () => Promise<void>, giveUp: () => Promise<void>): Promise<void> {
    const { table, attemptsMax, refused, reasonOf } = this.settings;
    try {
      await send();
    } catch (error) {
      const about = { waiting: id, attempts, reason: reasonOf(error) };
      if (attempts >= attemptsMax) {
        this.logger.error(about, `${refused}; accounting gives up`);
        return giveUp();
      }
      this.logger.warn(about, `${refused}; accounting tries again`);
      await this.source.query(`UPDATE ${table} SET next_at = now() + make_interval(secs => $2) WHERE id = $1`, [
        id,
        Math.min(2 ** attempts, PAUSE_MAX_SECONDS),
      ]);
    }
  }
}
