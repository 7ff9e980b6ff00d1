import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { UnrecoverableError, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { MODERATION_QUEUE, moderationJobSchema, type Ticket } from '#libs/contracts/jobs.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { readTicket } from '#libs/endpoints/ticket.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import { InputModerator } from './input.moderator.js';

/**
 * A job holds only ids, and its calls wait for places (`JudgingPlaces`). One key cannot fill so many jobs. Its calls
 * are open at ingress, whose processes have far fewer places for it.
 */
const JOBS_MAX = 10_000;

/** The worker's options come out of the configuration, which decorators see only when the class is made. */
export function createModerationProcessor(config: DaypassConfig): Type<DrainingWorker> {
  @Processor(MODERATION_QUEUE, workerOptions(config.redisUrl, JOBS_MAX, config.traces))
  class ModerationProcessor extends DrainingWorker {
    constructor(
      @Inject(InputModerator) private readonly inputs: InputModerator,
      @Inject(LOGGER) logger: Logger,
    ) {
      super(logger);
    }

    async process(job: Job): Promise<void> {
      const parsed = moderationJobSchema.safeParse(job.data);
      if (!parsed.success) throw new UnrecoverableError(`not a moderation job: ${parsed.error.message}`);
      const calls = parsed.data.calls.map(ticketIn);
      await this.inputs.moderate(calls.filter((call) => call !== null));
      // Another try reads the same. The deadlines of these calls end them.
      if (calls.includes(null)) throw new UnrecoverableError('not a ticket, or one of an API of a later version');
    }
  }
  return ModerationProcessor;
}

/** null: this version cannot serve it. */
function ticketIn(written: unknown): Ticket | null {
  try {
    const ticket = readTicket(written);
    endpointOf(ticket);
    return ticket;
  } catch {
    return null;
  }
}
