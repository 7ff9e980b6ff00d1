import { Inject, Injectable } from '@nestjs/common';
import type { Span } from '@opentelemetry/api';
import type { DaypassConfig } from '#libs/config/config.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { traced, type SpanOptions } from '#libs/service/tracing.js';
import { Progress } from '../answers/answer.progress.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';
import type { Attempt, StartedCall } from './attempt.js';
import { AttemptFailures } from './attempt.failures.js';
import { CancelListener } from './cancel.listener.js';
import { UpstreamExchange } from './upstream.exchange.js';

/** Runs one attempt: answers for its lease, bounds its time, and reports it. */
@Injectable()
export class AttemptRunner {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly leases: LeaseKeeper,
    private readonly cancels: CancelListener,
    private readonly exchange: UpstreamExchange,
    private readonly failures: AttemptFailures,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** Sends a call, and sees it to its end. Returns the attempt's outcome in one word. */
  async run(call: StartedCall): Promise<string> {
    const { ticket, encrypted, controller } = call;
    try {
      if (encrypted)
        return await traced('forward', spanOf(call), (span) =>
          this.attempt({ ...call, encrypted, progress: new Progress() }, span),
        );
      await this.failures.bodyLost(call);
      return 'body_lost';
    } finally {
      this.cancels.forget(ticket.requestId, controller);
    }
  }

  private async attempt(attempt: Attempt, span: Span): Promise<string> {
    const { ticket, dispatched, controller } = attempt;
    const { requestId, keyId, lane, model } = ticket;
    const startedMs = performance.now();
    const timer = setTimeout(
      () => controller.abort(new Error('the upstream took too long')),
      this.config.limits.upstreamTimeoutMs,
    );
    this.keepLease(attempt);
    this.metrics.running.inc();
    let outcome = 'ok';
    try {
      outcome = await this.exchange.run(attempt);
    } finally {
      clearTimeout(timer);
      this.leases.release(requestId);
      this.metrics.running.dec();
      const ms = performance.now() - startedMs;
      this.metrics.ended(ticket, outcome, ms / 1_000);
      span.setAttribute('daypass.outcome', outcome);
      this.logger.info(
        { requestId, keyId, lane, model, attempt: dispatched.attempt, outcome, ms: Math.round(ms) },
        'upstream call',
      );
    }
    return outcome;
  }

  private keepLease({ ticket, dispatched: { attempt } }: Attempt): void {
    const { requestId, keyId, campaignId, lane, replyTo, day, heldNano } = ticket;
    this.leases.keepRunning({
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      day,
      attempt,
      amountNano: BigInt(heldNano),
    });
  }
}

function spanOf({ ticket, dispatched, queueMs }: StartedCall): SpanOptions {
  const { requestId, lane, model, trace } = ticket;
  const attributes = {
    'daypass.request_id': requestId,
    'daypass.lane': lane,
    'daypass.upstream': dispatched.upstream,
    'daypass.attempt': dispatched.attempt,
    'daypass.queue_ms': queueMs,
  };
  return { parent: trace, attributes: { ...attributes, 'gen_ai.request.model': model } };
}
