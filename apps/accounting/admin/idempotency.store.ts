import { createHmac, type KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, MoreThan, type EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { IDEMPOTENCY_LIFE_MS } from '#libs/contracts/idempotency-key.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { IdempotentWrite } from '../store/entities/idempotent-write.entity.js';
import type { Unit } from '../store/unit-of-work.js';

const SWEEP_BATCH = 1_000;
const SWEEP_BATCHES_MAX = 20;

export interface FirstAnswer {
  fingerprint: string;
  written: readonly string[];
  /** @throws when another DAYPASS_SECRET encrypted the answer */
  open(): unknown;
}

/**
 * First answers to writes. Each is stored in the transaction of its effects, so that neither exists without the other.
 */
@Injectable()
export class IdempotencyStore {
  private readonly pepper: KeyObject;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    private readonly box: ContentBox,
  ) {
    this.pepper = config.secrets.idempotencyPepper;
  }

  fingerprint(method: string, address: string, body: unknown): string {
    return createHmac('sha256', this.pepper)
      .update(JSON.stringify([method, address, body ?? {}]))
      .digest('base64url');
  }

  /** Claims the key until the transaction ends. false: another transaction has it. */
  async claim(manager: EntityManager, key: string): Promise<boolean> {
    const [row] = await manager.query<{ claimed: boolean }[]>(
      'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS claimed',
      [`idempotency:${key}`],
    );
    return row!.claimed;
  }

  async find(manager: EntityManager, key: string): Promise<FirstAnswer | null> {
    const row = await manager.findOneBy(IdempotentWrite, { key, expiresAt: MoreThan(new Date()) });
    return (
      row && {
        fingerprint: row.fingerprint,
        written: row.written,
        open: () => JSON.parse(this.box.open(row.answer, sealOf(key))) as unknown,
      }
    );
  }

  /** Replaces an expired answer under the same key. */
  async keep({ manager, written }: Unit, key: string, fingerprint: string, answer: unknown): Promise<void> {
    const sealed = this.box.seal(JSON.stringify(answer), sealOf(key));
    await manager.upsert(
      IdempotentWrite,
      {
        key,
        fingerprint,
        answer: sealed,
        written: [...written],
        expiresAt: new Date(Date.now() + IDEMPOTENCY_LIFE_MS),
      },
      ['key'],
    );
  }

  /** Deletes expired answers. Returns their number. */
  async sweep(): Promise<number> {
    let removed = 0;
    for (let batch = 0; batch < SWEEP_BATCHES_MAX; batch++) {
      const [, count] = await this.source.query<[unknown, number]>(
        `DELETE FROM access.idempotent_writes WHERE key IN
           (SELECT key FROM access.idempotent_writes WHERE expires_at <= $1 ORDER BY expires_at LIMIT ${SWEEP_BATCH} FOR UPDATE SKIP LOCKED)`,
        [new Date()],
      );
      removed += count;
      if (count < SWEEP_BATCH) break;
    }
    return removed;
  }
}

const sealOf = (key: string): string => `idempotency:${key}`;
