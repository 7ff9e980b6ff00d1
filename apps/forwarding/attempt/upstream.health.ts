import { Inject, Injectable } from '@nestjs/common';
import { Circuits, type Trouble } from '#libs/pacing/circuit.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';
import type { StartedCall, Counted } from './attempt.js';

/** Keeps each upstream's circuit, and the limits that it reports. Never fails a call. */
@Injectable()
export class UpstreamHealth {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly circuits: Circuits,
    private readonly line: LaneLine,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** Closes the circuit of an upstream that answered, even with an error. */
  answered({ dispatched: { upstream }, failures }: StartedCall): void {
    if (failures === 0) return;
    this.circuits
      .well(upstream)
      .catch((error: unknown) =>
        this.logger.warn({ err: error, upstream }, "forwarding could not close an upstream's circuit"),
      );
  }

  /** Takes over the limits that the headers of an answer report. */
  learn({ ticket: { lane }, dispatched: { upstream } }: StartedCall, headers: Headers, counted: Counted): void {
    this.line
      .learn(lane, upstream, headers, counted)
      .catch((error: unknown) =>
        this.logger.warn({ err: error, lane }, "forwarding could not take over an upstream's limits"),
      );
  }

  /**
   * Counts a failure, and alerts the operator to trouble with the account. `replaceable`: another upstream serves the
   * same calls.
   */
  async failed(
    { ticket, dispatched: { upstream } }: StartedCall,
    trouble: Trouble,
    replaceable: boolean,
  ): Promise<void> {
    if (trouble === 'account') {
      this.metrics.accountTrouble(upstream);
      this.logger.error(
        { requestId: ticket.requestId, upstream },
        'the upstream refuses the account: check its key, its money and its rights',
      );
    }
    try {
      const openMs = await this.circuits.failed(upstream, trouble, replaceable);
      if (openMs > 0) this.logger.error({ upstream, openMs }, 'forwarding leaves the upstream alone for a while');
    } catch (error) {
      this.logger.warn({ err: error, upstream }, "forwarding could not count an upstream's failure");
    }
  }
}
