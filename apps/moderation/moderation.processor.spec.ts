import { describe, expect, it, jest } from '@jest/globals';
import { UnrecoverableError, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { writtenTicket } from '#libs/endpoints/ticket.js';
import { BEFORE, formerTicket, ticketNow } from '#libs/testing/version-before.js';
import { createModerationProcessor } from './moderation.processor.js';
import type { InputModerator } from './input.moderator.js';

const config = { redisUrl: 'redis://127.0.0.1:1', limits: { concurrency: 1 } } as unknown as DaypassConfig;

describe('a moderation job', () => {
  it('has its readable calls judged, and is not tried again for those that this version cannot serve', async () => {
    const moderate = jest.fn((_: readonly Ticket[]) => Promise.resolve());
    const Processor = createModerationProcessor(config) as unknown as new (
      inputs: InputModerator,
      logger: unknown,
    ) => {
      process(job: Job): Promise<void>;
    };
    const processor = new Processor({ moderate } as unknown as InputModerator, {});
    const { inLane } = BEFORE.calls;
    const good = ticketNow(inLane);
    await processor.process({ data: { calls: [formerTicket(inLane), writtenTicket(good)] } } as Job);
    expect(moderate).toHaveBeenLastCalledWith([good, good]);
    for (const bad of [{ requestId: 'x' }, { ...writtenTicket(good), endpoint: 'of a later version' }]) {
      const job = { data: { calls: [bad, writtenTicket(good)] } } as Job;
      await expect(processor.process(job)).rejects.toBeInstanceOf(UnrecoverableError);
      expect(moderate).toHaveBeenLastCalledWith([good]);
    }
  });
});
