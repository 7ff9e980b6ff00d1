import type { Queue } from 'bullmq';
import { FORWARD_JOB, type Ticket } from '#libs/contracts/jobs.js';
import { TickBatch } from './tick-batch.js';

const ENQUEUE_MAX = 256;

/** The door to the lanes: tickets of one tick go to each lane in one command. */
export class LaneQueues {
  private readonly batches = new Map<string, TickBatch<Ticket, void>>();

  /** One queue for each lane, in the same order. */
  constructor(lanes: readonly string[], queues: readonly Queue[]) {
    for (const [index, queue] of queues.entries()) {
      const lane = lanes[index]!;
      this.batches.set(
        lane,
        new TickBatch<Ticket, void>(ENQUEUE_MAX, async (tickets) => {
          // The job id drops a second enqueue of a call while the first still waits; the hold drops any later one.
          await queue.addBulk(tickets.map((ticket) => ({ name: FORWARD_JOB, data: ticket, opts: { jobId: `${ticket.requestId}-${FORWARD_JOB}` } })));
          return tickets.map(() => undefined);
        }),
      );
    }
  }

  async enqueue(ticket: Ticket): Promise<void> {
    const batch = this.batches.get(ticket.lane);
    if (!batch) throw new Error(`there is no lane ${ticket.lane}: give every service the same DAYPASS_CONFIG`);
    await batch.add(ticket);
  }
}
