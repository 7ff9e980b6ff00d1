import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { webhookHeaders } from '#libs/secrets/webhook.js';
import { Outbox, type Waiting } from '../outbox.js';
import { Periodic, PeriodicService } from '../periodic.js';

interface Notice extends Waiting {
  body: object;
}

const EVERY_MS = 1_000;
/** Without a webhook the loop only drops notices. */
const DROP_EVERY_MS = 3_600_000;
const TIMEOUT_MS = 5_000;

/** Sends each notice to the operator's webhook until it answers well. Without a webhook it drops notices. */
@Injectable()
export class NoticeSender extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly outbox: Outbox<Notice>;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) logger: Logger,
  ) {
    super();
    this.outbox = new Outbox(source, logger, {
      table: 'access.notices',
      columns: 'body',
      batch: 20,
      takenForSeconds: 30,
      // About a day in all.
      attemptsMax: 30,
      refused: 'the operator’s webhook did not take a notice',
      reasonOf: (error) => (error instanceof Error ? error.message : String(error)),
    });
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
    await Promise.all((await this.outbox.take()).map((notice) => this.send(webhook, notice)));
  }

  private async send({ url, secret }: { url: string; secret: string }, notice: Notice): Promise<void> {
    const { id } = notice;
    const drop = (): Promise<void> => this.source.query('DELETE FROM access.notices WHERE id = $1', [id]);
    await this.outbox.deliver(
      notice,
      async () => {
        const text = JSON.stringify(notice.body);
        const response = await fetch(url, {
          method: 'POST',
          headers: webhookHeaders(id, text, secret),
          body: text,
          redirect: 'error',
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        await response.body?.cancel();
        if (!response.ok) throw new Error(`it answered ${response.status}`);
        await drop();
      },
      drop,
    );
  }
}
