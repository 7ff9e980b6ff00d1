import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Circuits, type Trouble } from '#libs/pacing/circuit.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';
import type { StartedCall, Counted } from './attempt.js';
import { UpstreamClient } from './upstream.client.js';

/** Keeps each upstream's circuit, and the limits that it reports. Never fails a call. */
@Injectable()
export class UpstreamHealth implements OnApplicationBootstrap {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly circuits: Circuits,
    private readonly line: LaneLine,
    private readonly lanes: LaneTable,
    private readonly client: UpstreamClient,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** What was learned of another address or key says nothing about this one. */
  async onApplicationBootstrap(): Promise<void> {
    const served = this.lanes
      .names()
      .flatMap((lane) => this.lanes.upstreamsOf(lane).map(({ name }) => ({ lane, name })));
    await Promise.all(served.map(({ lane, name }) => this.line.adopt(lane, name, this.client.accountOf(name)))).catch(
      (error: unknown) => this.logger.warn({ err: error }, 'forwarding could not look at what its lanes learned'),
    );
  }

  /** Closes the circuit of an upstream that answered, even with an error. */
  answered({ dispatched: { upstream }, failures }: StartedCall): void {
    if (failures === 0) return;
    this.circuits
      .well(upstream)
      .catch((error: unknown) =>
        this.logger.warn({ err: error, upstream }, "forwarding could not close an upstream's circuit"),
      );
  }

  /**
   * Takes over the limits that the headers of an answer report. `answered`: it is an answer, and no error, which a
   * proxy may have written.
   */
  learn(
    { ticket: { lane }, dispatched: { upstream } }: StartedCall,
    headers: Headers,
    counted: Counted,
    answered: boolean,
  ): void {
    const account = this.client.accountOf(upstream);
    this.line
      .learn(lane, upstream, headers, counted, { account, answered })
      .catch((error: unknown) =>
        this.logger.warn({ err: error, lane }, "forwarding could not take over an upstream's limits"),
      );
  }

  /** Alerts the operator: the upstream refuses the account, or what only the operator can mend. */
  accountTrouble({ ticket, dispatched: { upstream } }: StartedCall): void {
    this.metrics.accountTrouble(upstream);
    this.logger.error(
      { requestId: ticket.requestId, upstream, model: ticket.model },
      'the upstream refuses the account: check its key, its money, its rights and its names of models',
    );
  }

  /**
   * Counts a failure. `replaceable`: another upstream serves the same calls. `itsOwn`: the visitor's request may be the
   * cause, so that neither one key's failures nor one campaign's alone stop all others.
   */
  async failed(
    { ticket, dispatched: { upstream } }: StartedCall,
    trouble: Trouble,
    { replaceable, itsOwn }: { replaceable: boolean; itsOwn: boolean },
  ): Promise<void> {
    try {
      const { keyId, campaignId } = ticket;
      const caller = itsOwn ? { keyId, campaignId, lanes: this.lanesOf(upstream) } : null;
      const openMs = await this.circuits.failed(upstream, trouble, replaceable, caller);
      if (openMs > 0) this.logger.error({ upstream, openMs }, 'forwarding leaves the upstream alone for a while');
    } catch (error) {
      this.logger.warn({ err: error, upstream }, "forwarding could not count an upstream's failure");
    }
  }

  private lanesOf(upstream: string): string[] {
    return this.lanes.names().filter((lane) => this.lanes.upstreamsOf(lane).some(({ name }) => name === upstream));
  }
}
