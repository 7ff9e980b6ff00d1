import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 3_600_000;

/**
 * Makes the monthly partitions of ledger and record ahead of time. Without its month, a row goes into the default
 * partition.
 */
@Injectable()
export class PartitionMaker extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @InjectDataSource() private readonly source: DataSource,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.makeAhead(),
      (error) =>
        logger.warn(
          { err: error },
          'accounting could not make the partitions of the next months; their rows go into the default partition',
        ),
    );
  }

  private async makeAhead(): Promise<void> {
    const [row] = await this.source.query<{ made: number }[]>(
      'SELECT ledger.ensure_partitions() + audit.ensure_partitions() AS made',
    );
    if (row!.made > 0) this.logger.info({ made: row!.made }, 'accounting made partitions for the next months');
  }
}
