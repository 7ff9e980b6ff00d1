import type { Queue } from 'bullmq';
import { MODERATE_JOB, MODERATION_BATCH_MAX, type ModerationJob, type Ticket } from '#libs/contracts/jobs.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { TickBatch } from '#libs/queues/tick-batch.js';

/** Where admitted calls go first: to moderation, all of one tick in one job, or straight to their lane when the input is not judged, or judged while the call runs. */
export class CallQueues {
  private readonly toModeration: TickBatch<Ticket, void>;

  constructor(
    moderation: Queue<ModerationJob>,
    private readonly lanes: LaneQueues,
  ) {
    this.toModeration = new TickBatch<Ticket, void>(MODERATION_BATCH_MAX, async (calls) => {
      await moderation.add(MODERATE_JOB, { calls }, { jobId: `${calls[0]!.requestId}-${MODERATE_JOB}` });
      return calls.map(() => undefined);
    });
  }

  async enqueue(ticket: Ticket): Promise<void> {
    const { input } = ticket.policy;
    await (input === 'off' || input === 'parallel' ? this.lanes.enqueue(ticket) : this.toModeration.add(ticket));
  }
}
