import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { PERIOD_MIN_MS } from './periodic.js';
import { PreparedStatement } from './store/prepared.statement.js';

/** What Postgres says is to be done now. */
export interface Due {
  /** A closed key may have unspent budget to return. Redis' clock decides, and may be ahead of Postgres' by a minute. */
  budgets: boolean;
  /** So many campaigns and keys are not as Redis has them. */
  accounts: number;
  links: boolean;
  safetyCases: boolean;
  /** How many rows the record has. */
  recordSeq: number;
}

const DUE = new PreparedStatement<Omit<Due, 'accounts' | 'recordSeq'> & { accounts: string; recordSeq: string }>(
  `SELECT EXISTS (SELECT FROM access.keys WHERE settle_at <= now() + interval '1 minute') AS budgets,
          (SELECT count(*) FROM access.campaigns WHERE projected_version < version) + (SELECT count(*) FROM access.keys WHERE projected_version < version) AS accounts,
          EXISTS (SELECT FROM access.claim_links WHERE projected_version < version) AS links,
          EXISTS (SELECT FROM access.safety_cases WHERE outcome IS NULL AND next_at <= now()) AS "safetyCases",
          (SELECT seq FROM audit.head) AS "recordSeq"`,
);

/**
 * One question to Postgres for all loops that run each second, because each of them finds nothing most of the time.
 * Loops of the same second share its answer.
 */
@Injectable()
export class DueWork {
  private answer: Promise<Due> | undefined;
  private askedAtMs = -Infinity;

  constructor(@InjectDataSource() private readonly source: DataSource) {}

  now(): Promise<Due> {
    const nowMs = performance.now();
    if (this.answer === undefined || nowMs - this.askedAtMs >= PERIOD_MIN_MS / 2) {
      this.askedAtMs = nowMs;
      this.answer = this.ask().catch((error: unknown) => {
        this.answer = undefined;
        throw error;
      });
    }
    return this.answer;
  }

  private async ask(): Promise<Due> {
    const [row] = await DUE.ask(this.source);
    return { ...row!, accounts: Number(row!.accounts), recordSeq: Number(row!.recordSeq) };
  }
}
