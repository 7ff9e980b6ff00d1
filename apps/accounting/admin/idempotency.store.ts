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
  /** @throws when it was sealed under another DAYPASS_SECRET */
  open(): unknown;
}

/** First answers to writes, in Postgres and in the transaction of their effects, so that neither is ever there without the other. */
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

  /** Until the transaction ends, however it ends; false: another one has the key. */
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

  /** In place of one that has expired, if there is one. */
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

  /** Removes what has expired; returns how many. */
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
