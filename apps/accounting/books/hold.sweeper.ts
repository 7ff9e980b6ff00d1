import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { LEASE_MS, type ExpiredHold, type KeptBounds } from '#libs/holds/hold.types.js';
import { keptBounds, keptReply } from '#libs/holds/kept-reply.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { BooksMetrics } from './books.metrics.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 1_000;
const BATCH = 100;
const BATCHES_MAX = 20;
/** After an outage every lease has run out. Living processes renew theirs as soon as they have a connection again. */
const REST_MS = LEASE_MS / 3 + 2_000;

/** Ends the holds of calls whose lease ran out, and answers their visitors. */
@Injectable()
export class HoldSweeper extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly kept: KeptBounds;
  private restUntilMs = 0;

  constructor(
    @Inject(CONFIG) { limits }: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) redis: Redis,
    private readonly holds: HoldStore,
    private readonly box: ContentBox,
    private readonly metrics: BooksMetrics,
  ) {
    super();
    this.kept = keptBounds(limits);
    redis.on('ready', () => (this.restUntilMs = performance.now() + REST_MS));
    this.loop = new Periodic(
      EVERY_MS,
      () => this.sweep(),
      (error) => logger.warn({ err: error }, 'accounting could not sweep holds'),
    );
  }

  async sweep(): Promise<void> {
    if (performance.now() < this.restUntilMs) return;
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const expired = await this.holds.expired(BATCH);
      await Promise.all(expired.map((hold) => this.end(hold)));
      if (expired.length < BATCH) return;
    }
  }

  private async end(hold: ExpiredHold): Promise<void> {
    const error =
      hold.state === 'dispatched'
        ? new DaypassError(
            'upstream_outcome_unknown',
            'The call was sent upstream, but its end was not seen. What it may have cost is booked until a report corrects it.',
          )
        : new DaypassError('overloaded', 'The call was not sent upstream in time and cost nothing. Try again.');
    const { requestId } = hold;
    const reply = errorAnswer(error);
    const { outcome, state } = await this.holds.end({
      ...hold,
      transition: 'expire',
      detail: { reason: 'lease expired' },
      reply: this.box.seal(JSON.stringify(reply), requestId),
      ...(hold.state === 'dispatched' ? { keep: await keptReply(this.box, requestId, reply, this.kept) } : {}),
    });
    if (outcome !== 'applied') return;
    this.metrics.holdSwept(state === 'presumed' ? 'presume' : 'void');
    this.logger.warn(
      { requestId: hold.requestId, keyId: hold.keyId, state },
      'accounting ended a call whose lease ran out',
    );
  }
}
