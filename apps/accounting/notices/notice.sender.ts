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
/** Without a webhook the loop only drops notices. */
const DROP_EVERY_MS = 3_600_000;
const BATCH = 20;
const TIMEOUT_MS = 5_000;
/** 2 s, 4 s, … an hour: about a day in all. */
const ATTEMPTS_MAX = 30;
const PAUSE_MAX_SECONDS = 3_600;
/** So long a notice belongs to the process that took it. */
const CLAIM = `interval '30 seconds'`;

/** Sends each notice to the operator's webhook until it answers well. Without a webhook it drops notices. */
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
      (error) => logger.warn({ err: error }, 'accounting could not send notices; it tries again'),
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
        this.logger.error({ notice: id, reason }, 'the operator’s webhook did not take a notice; accounting gives up');
        await this.source.query('DELETE FROM access.notices WHERE id = $1', [id]);
        return;
      }
      this.logger.warn(
        { notice: id, attempts, reason },
        'the operator’s webhook did not take a notice; accounting tries again',
      );
      await this.source.query(`UPDATE access.notices SET next_at = now() + make_interval(secs => $2) WHERE id = $1`, [
        id,
        Math.min(2 ** attempts, PAUSE_MAX_SECONDS),
      ]);
    }
  }
}
