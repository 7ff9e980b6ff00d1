import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AccountProjector } from './account.projector.js';
import { AccountingMetrics } from '../accounting.metrics.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 1_000;

/** Keeps trying what Redis did not take when it was written. */
@Injectable()
export class PendingProjections extends PeriodicService {
  protected readonly loop: Periodic;
  private lookedForAhead = false;

  constructor(
    @Inject(LOGGER) logger: Logger,
    private readonly projector: AccountProjector,
    private readonly metrics: AccountingMetrics,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) => logger.warn({ err: error }, 'projections wait'),
    );
  }

  private async run(): Promise<void> {
    this.metrics.projectionsPending(await this.projector.countPending());
    if (!this.lookedForAhead) {
      await this.projector.findAhead();
      this.lookedForAhead = true;
    }
    if ((await this.projector.projectPending()) > 0)
      this.metrics.projectionsPending(await this.projector.countPending());
  }
}
