import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { RecordMetrics } from './record.metrics.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { AuditVerifier } from './audit.verifier.js';

/** Each run reads the whole record: some 30,000 rows a second. */
const EVERY_MS = 6 * 3_600_000;

/** Proves the whole record every few hours, so that an alert fires for an edited row. */
@Injectable()
export class RecordWatch extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly verifier: AuditVerifier,
    private readonly metrics: RecordMetrics,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) => logger.warn({ err: error }, 'accounting could not prove the record; it tries again'),
    );
  }

  async run(): Promise<void> {
    const { ok, problems, checked } = await this.verifier.verify();
    this.metrics.recordProven(ok);
    if (!ok) this.logger.error({ problem: problems[0], checked }, 'the record differs from what accounting signed');
  }
}
