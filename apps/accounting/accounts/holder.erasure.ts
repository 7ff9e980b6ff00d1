import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { redisKeys } from '#libs/redis/keys.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HOLDER, runAs } from '../actor.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { isRecordUpToDate } from '../record/audit.stream.js';
import { isWaiting, REVIEW_DAYS } from '../record/review.queue.js';
import { VisitorEraser } from '../record/visitor.eraser.js';
import { VisitorFinder } from '../record/visitor.finder.js';
import { VisitorActs } from './visitor.acts.js';

/** What becomes of a holder's wish to delete its texts. */
export interface HolderErasureAnswer {
  /** They are unreadable since then; null: not yet. */
  erased_at: string | null;
  /** At the latest then; null: they are. */
  due_at: string | null;
}

const EVERY_MS = 10_000;
const BATCH = 100;
/** So long a holder waits for the end of running calls, and for the record to have them. */
const PATIENCE_MS = 3_000;
const PAUSE_MS = 100;
/** So many wait at once. Each holds a place of the desk, which claims need, too. */
const PATIENT_MOST = 2;
/** After an erasure that failed. */
const RETRY_SECONDS = 3_600;
const NOTE = 'the holder asked for it';

/**
 * A holder deletes the prompts and answers of its visitor. The keys end at once. The texts go at once, too, unless a
 * flagged call still waits for a review: then they go after the review, at the latest in 30 days.
 */
@Injectable()
export class HolderErasure extends PeriodicService {
  protected readonly loop: Periodic;
  /** Visitors whose erasure waits. */
  private readonly patient = new Set<string>();

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly visitors: VisitorFinder,
    private readonly acts: VisitorActs,
    private readonly eraser: VisitorEraser,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.eraseDue(),
      (error) => logger.warn({ err: error }, 'accounting could not erase what holders asked for; it tries again'),
    );
  }

  /** A repeat changes nothing. @throws AdminError `not_found` */
  async erase(keyId: string): Promise<HolderErasureAnswer> {
    const [id] = await this.visitors.visitorsOf(this.source.manager, [keyId]);
    const due = await runAs(HOLDER, async () => {
      await this.acts.setStatus(id!, 'revoke', NOTE);
      return this.ask(id!);
    });
    if (due === null) return this.erasedAt(id!);
    await this.waitForRest(id!);
    if (await this.mayErase(id!)) {
      const { erased_at } = await runAs(HOLDER, () => this.eraser.erase(id!, NOTE));
      return { erased_at, due_at: null };
    }
    return { erased_at: null, due_at: due.toISOString() };
  }

  /** Erases whom nobody has to review any more, or who waited too long. */
  async eraseDue(): Promise<void> {
    const due = await this.source.query<{ visitor_id: string; late: boolean }[]>(
      `SELECT asked.visitor_id, asked.due_at <= now() AS late FROM access.erasures asked
        WHERE asked.next_at <= now()
          AND (asked.due_at <= now() OR NOT EXISTS (SELECT FROM audit.checks WHERE checks.visitor_id = asked.visitor_id AND ${isWaiting('checks')}))
        ORDER BY asked.next_at LIMIT ${BATCH}`,
    );
    for (const { visitor_id: id, late } of due) {
      if (!late && !(await this.mayErase(id))) continue;
      await runAs(HOLDER, () => this.eraser.erase(id, NOTE)).catch(async (error: unknown) => {
        this.logger.warn(
          { err: error, visitor: id },
          'accounting could not erase a visitor; it tries again in an hour',
        );
        await this.source.query(
          'UPDATE access.erasures SET next_at = now() + make_interval(secs => $2) WHERE visitor_id = $1',
          [id, RETRY_SECONDS],
        );
      });
    }
  }

  /** When the texts are gone at the latest; null: they are gone. */
  private async ask(id: string): Promise<Date | null> {
    await this.source.query(
      `INSERT INTO access.erasures (visitor_id, asked_at, due_at, next_at)
       SELECT $1, now(), now() + interval '${REVIEW_DAYS} days', now()
        WHERE NOT EXISTS (SELECT FROM audit.visitors WHERE id = $1 AND erased_at IS NOT NULL) ON CONFLICT DO NOTHING`,
      [id],
    );
    const [asked] = await this.source.query<{ due_at: Date }[]>(
      'SELECT due_at FROM access.erasures WHERE visitor_id = $1',
      [id],
    );
    return asked?.due_at ?? null;
  }

  /** Beyond the bound, and for a repeat, nobody waits: `eraseDue` comes soon. */
  private async waitForRest(id: string): Promise<void> {
    if (this.patient.has(id) || this.patient.size >= PATIENT_MOST) return;
    this.patient.add(id);
    try {
      const untilMs = performance.now() + PATIENCE_MS;
      while (!(await this.isAtRest(id)) && performance.now() < untilMs) await sleep(PAUSE_MS);
    } finally {
      this.patient.delete(id);
    }
  }

  private async erasedAt(id: string): Promise<HolderErasureAnswer> {
    const [row] = await this.source.query<{ erased_at: Date }[]>('SELECT erased_at FROM audit.visitors WHERE id = $1', [
      id,
    ]);
    return { erased_at: row?.erased_at.toISOString() ?? null, due_at: null };
  }

  private async mayErase(id: string): Promise<boolean> {
    if (!(await this.isAtRest(id))) return false;
    const [waiting] = await this.source.query<unknown[]>(
      `SELECT 1 FROM audit.checks WHERE checks.visitor_id = $1 AND ${isWaiting('checks')} LIMIT 1`,
      [id],
    );
    return waiting === undefined;
  }

  /** No call runs any more, and the record has all that was judged. */
  private async isAtRest(id: string): Promise<boolean> {
    const { manager } = this.source;
    const keys = await this.visitors.keysOf(manager, await this.visitors.find(manager, id));
    for (const key of keys) if (Number((await this.redis.hget(redisKeys.key(key), 'running')) ?? 0) > 0) return false;
    return isRecordUpToDate(this.redis);
  }
}
