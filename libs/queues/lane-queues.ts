import type { Queue } from 'bullmq';
import { TURN_JOB, TURNS_MAX, type Ticket, type TurnJob } from '#libs/contracts/jobs.js';
import type { Entered, LaneLine } from '#libs/pacing/lane-line.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { TickBatch } from '#libs/redis/tick-batch.js';

/** The door to the lanes: a call joins those that wait, and one more turn goes to the lane's workers, those of one tick in one job. */
export class LaneQueues {
  private readonly turns = new Map<string, TickBatch<string, void>>();
  /** Lanes that did not let the last call in: a turn for each that they turn away would be too many. */
  private readonly closed = new Set<string>();

  /** One queue for each lane, in the same order, on the line's own connection: a turn that came before its call would find nobody. */
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
          // Without an id of ours: a job of the same name may be running for long, and would swallow the turns of new calls. A turn too many finds nobody.
          await queue.add(TURN_JOB, job);
          return requestIds.map(() => undefined);
        }),
      );
    }
  }

  /** `late`: it would come later than it may wait, and does not. `events`: for the record, before it may be served. @throws when Redis does not take it */
  async enqueue(ticket: Ticket, events: readonly Recorded[] = []): Promise<Entered> {
    const turns = this.turns.get(ticket.lane);
    if (!turns) throw new Error(`there is no lane ${ticket.lane}: give every service the same DAYPASS_CONFIG`);
    const entering = this.line.enter(ticket, events);
    // Sent behind the call itself, without waiting for what becomes of it; a turn too many finds nobody.
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
