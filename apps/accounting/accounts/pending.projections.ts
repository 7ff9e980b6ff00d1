import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AccountProjector } from './account.projector.js';
import { ProjectionMetrics } from './projection.metrics.js';
import { DueWork } from '../due.work.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 1_000;

/** Sends again what Redis did not take at the time of the write. */
@Injectable()
export class PendingProjections extends PeriodicService {
  protected readonly loop: Periodic;
  private lookedForAhead = false;

  constructor(
    @Inject(LOGGER) logger: Logger,
    private readonly projector: AccountProjector,
    private readonly metrics: ProjectionMetrics,
    private readonly dueWork: DueWork,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) => logger.warn({ err: error }, 'accounting could not send changes to Redis; it tries again'),
    );
  }

  private async run(): Promise<void> {
    const { accounts } = await this.dueWork.now();
    this.metrics.projectionsPending(accounts);
    if (!this.lookedForAhead) {
      await this.projector.findAhead();
      this.lookedForAhead = true;
    }
    if (accounts === 0 && !this.projector.hasAhead) return;
    if ((await this.projector.projectPending()) > 0)
      this.metrics.projectionsPending(await this.projector.countPending());
  }
}
