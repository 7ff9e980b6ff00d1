import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AuditRepository } from '../record/audit.repository.js';
import { LedgerRepository } from './ledger.repository.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 3_600_000;

/** Makes the months of the ledger and of the record ahead of time; a month that is missing all the same goes into the default partition. */
@Injectable()
export class PartitionKeeper extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(@Inject(LOGGER) logger: Logger, ledger: LedgerRepository, audit: AuditRepository) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      async () => {
        const made = (await ledger.ensurePartitions()) + (await audit.ensurePartitions());
        if (made > 0) logger.info({ made }, 'there are new months');
      },
      (error) =>
        logger.warn({ err: error }, 'the months ahead could not be made; their rows go into the default partition'),
    );
  }
}
