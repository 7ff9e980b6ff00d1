import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AccountingMetrics } from '../accounting.metrics.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { AuditVerifier } from './audit.verifier.js';

/** All of the record is read for it: some 30,000 rows a second. */
const EVERY_MS = 6 * 3_600_000;

/** Proves the whole record from time to time, so that an edited row is told without anybody asking. */
@Injectable()
export class RecordWatch extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly verifier: AuditVerifier,
    private readonly metrics: AccountingMetrics,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) => logger.warn({ err: error }, 'the record could not be proven yet'),
    );
  }

  async run(): Promise<void> {
    const { ok, problems, checked } = await this.verifier.verify();
    this.metrics.recordProven(ok);
    if (!ok) this.logger.error({ problem: problems[0], checked }, 'the record is not what was signed');
  }
}
