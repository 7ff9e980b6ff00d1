import type { Queue } from 'bullmq';
import { TURN_JOB, TURNS_MAX, type Ticket, type TurnJob } from '#libs/contracts/jobs.js';
import type { Entered, LaneLine } from '#libs/pacing/lane-line.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { TickBatch } from '#libs/redis/tick-batch.js';

/** Puts a call into its lane's line and adds a turn for the lane's workers. Turns of one tick share a job. */
export class LaneQueues {
  private readonly turns = new Map<string, TickBatch<string, void>>();
  /** Lanes that refused their last call. A turn for each refused call would be too many. */
  private readonly closed = new Set<string>();

  /** One queue per lane, in the same order, on the line's own connection: a turn must not arrive before its call. */
  constructor(
    lanes: readonly string[],
    queues: readonly Queue[],
    private readonly line: LaneLine,
  ) {
    for (const [index, queue] of queues.entries()) {
      const lane = lanes[index]!;
      this.turns.set(
        lane,
        new TickBatch<string, void>(
          TURNS_MAX,
          async (requestIds) => {
            const job: TurnJob = { lane, turns: requestIds.length };
            // Without an id: a long job of the same name would swallow the turns of new calls. A turn too many finds no
            // call.
            await queue.add(TURN_JOB, job);
            return requestIds.map(() => undefined);
          },
          true,
        ),
      );
    }
  }

  /**
   * `late`: the call's turn would come after its patience ends, so that it does not join. `events`: for the record, in
   * the same step. @throws when Redis does not take it
   */
  async enqueue(ticket: Ticket, events: readonly Recorded[] = []): Promise<Entered> {
    const turns = this.turns.get(ticket.lane);
    if (!turns) throw new Error(`there is no lane ${ticket.lane}: give every service the same DAYPASS_CONFIG`);
    const entering = this.line.enter(ticket, events);
    // Sent right after the call, without waiting for the answer. A turn too many finds no call.
    const turn = this.closed.has(ticket.lane) ? undefined : turns.add(ticket.requestId);
    turn?.catch(() => undefined);
    const entered = await entering;
    if (entered.code === 'entered') {
      this.closed.delete(ticket.lane);
      await (turn ?? turns.add(ticket.requestId));
    } else if (entered.code === 'late') this.closed.add(ticket.lane);
    return entered;
  }
}
