import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { webhookHeaders } from '#libs/secrets/webhook.js';
import { Periodic, PeriodicService } from '../periodic.js';

interface Notice {
  id: string;
  body: object;
  attempts: number;
}

const EVERY_MS = 1_000;
/** Without a webhook there is nothing to send, only to drop. */
const DROP_EVERY_MS = 3_600_000;
const BATCH = 20;
const TIMEOUT_MS = 5_000;
/** 2 s, 4 s, … an hour: about a day in all. */
const ATTEMPTS_MAX = 30;
const PAUSE_MAX_SECONDS = 3_600;
/** How long a notice belongs to the process that took it. */
const CLAIM = `interval '30 seconds'`;

/**
 * Tells the operator's webhook, once for each notice and again until it hears. Without a webhook notices are dropped.
 */
@Injectable()
export class NoticeSender extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    super();
    this.loop = new Periodic(
      config.file.operator.webhook ? EVERY_MS : DROP_EVERY_MS,
      () => this.sendDue(),
      (error) => logger.warn({ err: error }, 'notices wait'),
    );
  }

  private async sendDue(): Promise<void> {
    const { webhook } = this.config.file.operator;
    if (!webhook) {
      await this.source.query('DELETE FROM access.notices');
      return;
    }
    const [due] = await this.source.query<[Notice[], number]>(
      `UPDATE access.notices SET next_at = now() + ${CLAIM}, attempts = attempts + 1
        WHERE id IN (SELECT id FROM access.notices WHERE next_at <= now() ORDER BY next_at LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
        RETURNING id, body, attempts`,
    );
    await Promise.all(due.map((notice) => this.send(webhook, notice)));
  }

  private async send({ url, secret }: { url: string; secret: string }, { id, body, attempts }: Notice): Promise<void> {
    const text = JSON.stringify(body);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: webhookHeaders(id, text, secret),
        body: text,
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      await this.source.query('DELETE FROM access.notices WHERE id = $1', [id]);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (attempts >= ATTEMPTS_MAX) {
        this.logger.error({ notice: id, reason }, 'the operator’s webhook could not be told, and is not asked again');
        await this.source.query('DELETE FROM access.notices WHERE id = $1', [id]);
        return;
      }
      this.logger.warn({ notice: id, attempts, reason }, 'the operator’s webhook could not be told yet');
      await this.source.query(`UPDATE access.notices SET next_at = now() + make_interval(secs => $2) WHERE id = $1`, [
        id,
        Math.min(2 ** attempts, PAUSE_MAX_SECONDS),
      ]);
    }
  }
}
