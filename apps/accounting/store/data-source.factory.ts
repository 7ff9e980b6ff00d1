import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm';
import { Campaign } from './entities/campaign.entity.js';
import { ClaimCode } from './entities/claim-code.entity.js';
import { ClaimLink } from './entities/claim-link.entity.js';
import { Claim } from './entities/claim.entity.js';
import { Claimant } from './entities/claimant.entity.js';
import { IdempotentWrite } from './entities/idempotent-write.entity.js';
import { Key } from './entities/key.entity.js';
import { LedgerEntry } from './entities/ledger-entry.entity.js';
import { LedgerTransfer } from './entities/ledger-transfer.entity.js';
import { RejectedEvent } from './entities/rejected-event.entity.js';
import { State } from './entities/state.entity.js';
import { Access1763856000000 } from './migrations/1763856000000-access.migration.js';
import { Ledger1763856000001 } from './migrations/1763856000001-ledger.migration.js';
import { MonthPartitions1763942400000, SERVICE_ROLE } from './migrations/1763942400000-month-partitions.migration.js';
import { Statements1763942400001 } from './migrations/1763942400001-statements.migration.js';
import { AdminWrites1763942400010 } from './migrations/1763942400010-admin-writes.migration.js';
import { Reconciliation1763942400020 } from './migrations/1763942400020-reconciliation.migration.js';
import { Strikes1763942400030 } from './migrations/1763942400030-strikes.migration.js';
import { Audit1763942400040 } from './migrations/1763942400040-audit.migration.js';
import { Safety1763942400050 } from './migrations/1763942400050-safety.migration.js';
import { Weights1763942400060 } from './migrations/1763942400060-weights.migration.js';
import { Upstreams1763942400070 } from './migrations/1763942400070-upstreams.migration.js';
import { Auditor1763942400080, AUDITOR_ROLE } from './migrations/1763942400080-auditor.migration.js';
import { Measures1763942400090 } from './migrations/1763942400090-measures.migration.js';
import { Endpoints1763942400100 } from './migrations/1763942400100-endpoints.migration.js';
import { Origins1763942400110 } from './migrations/1763942400110-origins.migration.js';
import { KeyTimes1763942400120 } from './migrations/1763942400120-key-times.migration.js';
import { LastCalls1763942400121 } from './migrations/1763942400121-last-calls.migration.js';
import { CallLists1763942400122 } from './migrations/1763942400122-call-lists.migration.js';
import { Claims1763942400140 } from './migrations/1763942400140-claims.migration.js';
import { Console1763942400145 } from './migrations/1763942400145-console.migration.js';
import { Visitors1763942400150 } from './migrations/1763942400150-visitors.migration.js';
import { RedirectUris1763942400165 } from './migrations/1763942400165-redirect-uris.migration.js';
import { Identity1763942400160 } from './migrations/1763942400160-identity.migration.js';
import { Ends1763942400130 } from './migrations/1763942400130-ends.migration.js';

const POOL_SIZE = 10;
const STATEMENT_TIMEOUT_MS = 60_000;
/** Any number, as long as every accounting process uses the same one. */
const MIGRATION_LOCK = 0x64_70_01;

export function dataSourceOptions(databaseUrl: string, onPoolError: (error: unknown) => void): DataSourceOptions {
  return {
    type: 'postgres',
    url: databaseUrl,
    applicationName: 'daypass-accounting',
    entities: [
      Campaign,
      Claim,
      ClaimCode,
      ClaimLink,
      Claimant,
      IdempotentWrite,
      Key,
      LedgerEntry,
      LedgerTransfer,
      RejectedEvent,
      State,
    ],
    migrations: [
      Access1763856000000,
      Ledger1763856000001,
      MonthPartitions1763942400000,
      Statements1763942400001,
      AdminWrites1763942400010,
      Reconciliation1763942400020,
      Strikes1763942400030,
      Audit1763942400040,
      Safety1763942400050,
      Weights1763942400060,
      Upstreams1763942400070,
      Auditor1763942400080,
      Measures1763942400090,
      Endpoints1763942400100,
      Origins1763942400110,
      KeyTimes1763942400120,
      LastCalls1763942400121,
      CallLists1763942400122,
      Ends1763942400130,
      Claims1763942400140,
      Console1763942400145,
      Visitors1763942400150,
      Identity1763942400160,
      RedirectUris1763942400165,
    ],
    migrationsTableName: 'daypass_migrations',
    poolSize: POOL_SIZE,
    connectTimeoutMS: 5_000,
    poolErrorHandler: onPoolError,
    // Without extensions the database role needs no superuser.
    installExtensions: false,
    extra: { statement_timeout: STATEMENT_TIMEOUT_MS, keepAlive: true },
  };
}

/** Migrates, then connects under a role that may only add to the ledger. With a password the auditor may log in. */
export async function openDataSource(options: DataSourceOptions, auditorPassword?: string): Promise<DataSource> {
  const mayStepDown = await migrate(options, auditorPassword);
  const extra = options.extra as Record<string, unknown>;
  return new DataSource({
    ...options,
    ...(mayStepDown ? { extra: { ...extra, options: `-c role=${SERVICE_ROLE}` } } : {}),
  } as DataSourceOptions).initialize();
}

/**
 * The login of the address owns the tables. A lock lets one process migrate at a time, so that several may start at
 * once.
 */
async function migrate(options: DataSourceOptions, auditorPassword: string | undefined): Promise<boolean> {
  const extra = options.extra as Record<string, unknown>;
  // A large table takes long to change, and the wait for another process' migrations may be long, too.
  const source = await new DataSource({
    ...options,
    extra: { ...extra, statement_timeout: 0 },
  } as DataSourceOptions).initialize();
  const lock = source.createQueryRunner();
  try {
    await lock.connect();
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    try {
      await source.runMigrations({ transaction: 'each' });
      if (auditorPassword === undefined) await lockOutAuditor(lock);
      else await admitAuditor(lock, auditorPassword);
      const [row] = (await lock.query(
        `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') AND pg_has_role('${SERVICE_ROLE}', 'MEMBER') AS may`,
      )) as { may: boolean }[];
      return row!.may;
    } finally {
      await lock.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    }
  } finally {
    await lock.release();
    await source.destroy();
  }
}

/** Without a password no auditor logs in, even if there was one before. A role of another owner stays as it is. */
async function lockOutAuditor(runner: QueryRunner): Promise<void> {
  await runner.query(`
    DO $$ BEGIN
      IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${AUDITOR_ROLE}' AND rolcanlogin) THEN ALTER ROLE ${AUDITOR_ROLE} NOLOGIN; END IF;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$`);
}

/** ALTER ROLE takes no parameters, so Postgres itself quotes the password. */
async function admitAuditor(runner: QueryRunner, password: string): Promise<void> {
  const [row] = (await runner.query(
    `SELECT format('ALTER ROLE ${AUDITOR_ROLE} LOGIN CONNECTION LIMIT 5 PASSWORD %L', $1::text) AS statement`,
    [password],
  )) as {
    statement: string;
  }[];
  await runner.query(row!.statement);
  await runner.query(`ALTER ROLE ${AUDITOR_ROLE} SET default_transaction_read_only = on`);
  await runner.query(`ALTER ROLE ${AUDITOR_ROLE} SET statement_timeout = '60s'`);
}
