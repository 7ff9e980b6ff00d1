import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine, type Place } from '#libs/pacing/lane-line.js';
import { LOGGER } from '#libs/service/platform.tokens.js';

const EVERY_MS = 1_000;
/** One command looks up at most so many calls. */
const AT_ONCE = 500;

interface Waiting {
  ticket: Ticket;
  onPlace: (place: Place) => void;
  sinceMs: number;
}

/** Tells waiting streams their places in the lane, once a second, after the first second. */
@Injectable()
export class PlaceTeller implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly waiting = new Map<string, Waiting>();
  private timer: NodeJS.Timeout | undefined;
  private telling = false;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly line: LaneLine,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.tell(), EVERY_MS).unref();
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  listen(ticket: Ticket, onPlace: (place: Place) => void): void {
    this.waiting.set(ticket.requestId, { ticket, onPlace, sinceMs: performance.now() });
  }

  forget(requestId: string): void {
    this.waiting.delete(requestId);
  }

  private async tell(): Promise<void> {
    if (this.telling) return;
    this.telling = true;
    try {
      const due = [...this.waiting.values()].filter(({ sinceMs }) => performance.now() - sinceMs >= EVERY_MS);
      for (const [lane, calls] of Map.groupBy(due, ({ ticket }) => ticket.lane)) {
        for (let start = 0; start < calls.length; start += AT_ONCE)
          await this.tellSome(lane, calls.slice(start, start + AT_ONCE));
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'ingress could not look up the places of waiting calls');
    } finally {
      this.telling = false;
    }
  }

  private async tellSome(lane: string, calls: readonly Waiting[]): Promise<void> {
    const places = await this.line.places(
      lane,
      calls.map(({ ticket }) => ticket.requestId),
    );
    calls.forEach(({ ticket, onPlace }, index) => {
      const place = places[index];
      if (place && this.waiting.has(ticket.requestId)) onPlace(place);
    });
  }
}
