import type { Queue } from 'bullmq';
import { MODERATE_JOB, MODERATION_BATCH_MAX, type ModerationJob, type Ticket } from '#libs/contracts/jobs.js';
import type { Entered } from '#libs/pacing/lane-line.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { TickBatch } from '#libs/redis/tick-batch.js';

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

  /** `late`: its lane is so full that it would come later than it may wait, and it does not join. */
  async enqueue(ticket: Ticket): Promise<Entered | { code: 'entered' }> {
    const { input } = ticket.policy;
    if (input === 'off' || input === 'parallel') return this.lanes.enqueue(ticket);
    await this.toModeration.add(ticket);
    return { code: 'entered' };
  }
}
