import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Ticket } from '#libs/contracts/jobs.js';
import { LanePacer } from '#libs/pacing/lane-pacer.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import type { Attempt } from './attempt.js';
import type { Ready } from './parallel.input.js';
import { UpstreamClient, type Opened } from './upstream.client.js';

/** Some servers name one unknown parameter after the other. */
const ASKED_AGAIN_MAX = 4;
const ROOM_WITHIN_MS = 5_000;

/**
 * Asks an upstream. An upstream that refuses a parameter which nobody needs did no work. Then this asks again without
 * it, up to four times. When that succeeds, the upstream does not get the parameter again.
 */
@Injectable()
export class UpstreamQuestion {
  private readonly pacers = new Map<string, LanePacer>();

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly upstream: UpstreamClient,
    private readonly lanes: LaneTable,
  ) {}

  /** @throws Unsendable, or what `failureOf` reads */
  async ask({ ticket, dispatched, controller: { signal } }: Attempt, ready: Ready): Promise<Opened> {
    const { lane, pacedTokens } = ticket;
    const name = dispatched.upstream;
    let without: readonly string[] = [];
    for (let asked = 1; ; asked++) {
      try {
        const opened = await this.upstream.open(name, ready, signal, without);
        this.learned(ticket, name, without);
        return opened;
      } catch (error) {
        const needless = this.upstream.needless(name, ready, error).filter((one) => !without.includes(one));
        if (needless.length === 0 || asked > ASKED_AGAIN_MAX) throw error;
        // The upstream counts this request, too.
        if (!(await this.hasRoom(lane, name, pacedTokens))) throw error;
        without = [...without, ...needless];
      }
    }
  }

  private learned({ requestId, model }: Ticket, upstream: string, without: readonly string[]): void {
    if (without.length === 0) return;
    this.upstream.remember(upstream, model, without);
    this.logger.info(
      { requestId, upstream, model, parameters: without },
      'the upstream does not know these parameters: forwarding leaves them out for a day',
    );
  }

  private async hasRoom(lane: string, name: string, tokens: number): Promise<boolean> {
    const upstream = this.lanes.upstreamOf(lane, name);
    const pacer = this.pacers.get(upstream.slot) ?? new LanePacer(this.redis, upstream);
    this.pacers.set(upstream.slot, pacer);
    return pacer.reserve(tokens, ROOM_WITHIN_MS).then(
      () => true,
      () => false,
    );
  }
}
