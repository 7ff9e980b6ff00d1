import type { Queue } from 'bullmq';
import { TURN_JOB, TURNS_MAX, type Ticket, type TurnJob } from '#libs/contracts/jobs.js';
import type { Entered, LaneLine } from '#libs/pacing/lane-line.js';
import { TickBatch } from './tick-batch.js';

/** The door to the lanes: a call joins those that wait, and one more turn goes to the lane's workers, those of one tick in one job. */
export class LaneQueues {
  private readonly turns = new Map<string, TickBatch<string, void>>();

  /** One queue for each lane, in the same order. */
  constructor(
    lanes: readonly string[],
    queues: readonly Queue[],
    private readonly line: LaneLine,
  ) {
    for (const [index, queue] of queues.entries()) {
      const lane = lanes[index]!;
      this.turns.set(
        lane,
        new TickBatch<string, void>(TURNS_MAX, async (requestIds) => {
          const job: TurnJob = { lane, turns: requestIds.length };
          // The job id drops the same turns once more while the first still wait; a turn too many finds nobody.
          await queue.add(TURN_JOB, job, { jobId: `${requestIds[0]!}-${TURN_JOB}` });
          return requestIds.map(() => undefined);
        }),
      );
    }
  }

  /** `late`: it would come later than it may wait, and does not. @throws when Redis does not take it */
  async enqueue(ticket: Ticket): Promise<Entered> {
    const turns = this.turns.get(ticket.lane);
    if (!turns) throw new Error(`there is no lane ${ticket.lane}: give every service the same DAYPASS_CONFIG`);
    const entered = await this.line.enter(ticket);
    if (entered.code === 'entered') await turns.add(ticket.requestId);
    return entered;
  }
}
