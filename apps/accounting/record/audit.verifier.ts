import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import type { RecordProof } from '#libs/contracts/admin/audit.js';
import { policyVersionOf } from '../domain/audit.chain.js';
import { OneAtATime } from '../one-at-a-time.js';
import { AuditRepository } from './audit.repository.js';
import { ChainWalk, REPORTED_MAX } from './chain.walk.js';
import { CheckpointSigner, type Checkpoint } from './checkpoint.signer.js';

const STATEMENT_TIMEOUT_MS = 900_000;

export type AuditVerification = RecordProof;

/** Proves the record: nobody edited, deleted, moved or cut off a row, and each content fits the hash in its row. */
@Injectable()
export class AuditVerifier {
  private readonly once = new OneAtATime(() => this.run());

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    private readonly audit: AuditRepository,
    private readonly checkpoints: CheckpointSigner,
  ) {}

  verify(): Promise<AuditVerification> {
    return this.once.ask();
  }

  private async run(): Promise<AuditVerification> {
    // Before the rows, so that the record already has what the anchor signed.
    const anchor = await this.checkpoints.anchor();
    return this.source.transaction('REPEATABLE READ', async (manager) => {
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      const walk = new ChainWalk(this.audit, manager);
      const head = await this.audit.head(manager);
      const signed = await this.signed(manager);
      await walk.walk(head, [...signed, ...(anchor ? [anchor] : [])]);
      const signatures = walk.problems.length === 0 && signed.length > 0 ? [signed.at(-1)!] : signed;
      for (const checkpoint of signatures) {
        if (!this.checkpoints.isGenuine(checkpoint))
          walk.report(
            'unsigned',
            checkpoint.seq,
            checkpoint.seq,
            null,
            `the checkpoint at ${checkpoint.seq} was not signed by Daypass`,
          );
      }
      const policies = await this.policies(manager, walk);
      return {
        ok: walk.problems.length === 0,
        checked: { rows: walk.rows, contents: walk.contents, checkpoints: signed.length, policies },
        head,
        public_key: this.checkpoints.publicKey,
        problems: walk.problems.slice(0, REPORTED_MAX),
      };
    });
  }

  private async signed(manager: EntityManager): Promise<Checkpoint[]> {
    const rows = await manager.query<{ seq: string; hash: string; at: Date; signature: Buffer }[]>(
      `SELECT seq, encode(hash, 'hex') AS hash, at, signature FROM audit.checkpoints ORDER BY seq`,
    );
    return rows.map(({ seq, hash, at, signature }) => ({ seq: Number(seq), hash, atMs: at.getTime(), signature }));
  }

  private async policies(manager: EntityManager, walk: ChainWalk): Promise<number> {
    const rows = await manager.query<{ version: string; policy: object }[]>(
      'SELECT version, policy FROM audit.policies',
    );
    const kept = new Set<string>();
    for (const { version, policy } of rows) {
      kept.add(version);
      if (policyVersionOf(policy) !== version)
        walk.report('altered', 0, 0, version, `the policy ${version} was edited`);
    }
    for (const version of walk.policyVersions)
      if (!kept.has(version)) walk.report('missing', 0, 0, version, `the policy ${version} was deleted`);
    return rows.length;
  }
}
