import type { Queue } from 'bullmq';
import { MODERATE_JOB, MODERATION_BATCH_MAX, type ModerationJob, type Ticket } from '#libs/contracts/jobs.js';
import { writtenTicket } from '#libs/endpoints/ticket.js';
import type { Entered } from '#libs/pacing/lane-line.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { TickBatch } from '#libs/redis/tick-batch.js';

/**
 * Sends admitted calls to their first queue. That is moderation, with all calls of one tick in one job. A call whose
 * input nobody judges, or judges while it runs, goes straight to its lane, unless moderation has to fetch its images.
 */
export class CallQueues {
  private readonly toModeration: TickBatch<Ticket, void>;

  constructor(
    moderation: Queue<ModerationJob>,
    private readonly lanes: LaneQueues,
  ) {
    this.toModeration = new TickBatch<Ticket, void>(MODERATION_BATCH_MAX, async (calls) => {
      await moderation.add(
        MODERATE_JOB,
        { calls: calls.map(writtenTicket) },
        { jobId: `${calls[0]!.requestId}-${MODERATE_JOB}` },
      );
      return calls.map(() => undefined);
    });
  }

  /** `late`: its turn would come later than it may wait, so that it does not join its lane. */
  async enqueue(ticket: Ticket): Promise<Entered | { code: 'entered' }> {
    const { policy, remoteImages = 0 } = ticket;
    if (policy.input === 'off' || (policy.input === 'parallel' && remoteImages === 0))
      return this.lanes.enqueue(ticket);
    await this.toModeration.add(ticket);
    return { code: 'entered' };
  }
}
