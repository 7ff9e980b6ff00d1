import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { ERRORS, type ErrorBody } from '#libs/contracts/errors.js';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { Stats } from '#libs/service/stats.js';
import { ReplyReader } from './answers/reply.reader.js';

@Injectable()
export class IngressMetrics {
  private readonly calls: Counter<'campaign' | 'endpoint' | 'outcome'>;
  private readonly seconds: Histogram<'endpoint'>;
  private readonly firstSeconds: Histogram<'endpoint'>;
  private readonly refusals: Counter<'code' | 'endpoint'>;
  private readonly replays: Counter<'endpoint'>;
  private readonly repeats: Counter<'endpoint'>;

  constructor(
    @Inject(REGISTRY) registry: Registry,
    replies: ReplyReader,
    private readonly stats: Stats,
  ) {
    const registers = [registry];
    this.calls = new Counter({
      name: 'daypass_calls_total',
      help: 'Calls with a hold, by how they ended',
      labelNames: ['campaign', 'endpoint', 'outcome'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'daypass_call_seconds',
      help: 'From the hold to the last byte of the answer',
      labelNames: ['endpoint'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers,
    });
    this.firstSeconds = new Histogram({
      name: 'daypass_first_token_seconds',
      help: 'From the hold to the first piece of a streamed answer that the visitor gets',
      labelNames: ['endpoint'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    });
    this.refusals = new Counter({
      name: 'daypass_refusals_total',
      help: 'Requests that got an error of the catalogue, by its code; visitor_left: the visitor hung up before the call had its hold',
      labelNames: ['code', 'endpoint'],
      registers,
    });
    this.replays = new Counter({
      name: 'daypass_replays_total',
      help: 'Repeats under an Idempotency-Key that got their first answer',
      labelNames: ['endpoint'],
      registers,
    });
    this.repeats = new Counter({
      name: 'daypass_blocked_repeats_total',
      help: 'Calls that repeated one whose output was blocked within the last minute, and got its answer unbilled',
      labelNames: ['endpoint'],
      registers,
    });
    new Gauge({
      name: 'daypass_calls_running',
      help: 'Calls of this process that wait for their answer',
      registers,
      collect() {
        this.set(replies.waiting);
      },
    });
  }

  firstShown(endpoint: string, seconds: number): void {
    this.firstSeconds.observe({ endpoint }, seconds);
  }

  callEnded(endpoint: string, campaign: string, outcome: string, seconds: number): void {
    this.calls.inc({ campaign, endpoint, outcome });
    this.seconds.observe({ endpoint }, seconds);
  }

  replayed(endpoint: string): void {
    this.replays.inc({ endpoint });
  }

  repeated(endpoint: string): void {
    this.repeats.inc({ endpoint });
  }

  /** `endpoint`: null where the request is not for one. */
  refused(code: string, endpoint: string | null): void {
    this.refusals.inc({ code, endpoint: endpoint ?? 'none' });
    if (Object.hasOwn(ERRORS, code)) this.stats.add(`refused:${code}`);
  }

  /** A worker, or the upstream, refused a call that had its hold. `body`: of the answer. */
  refusedLater(body: string): void {
    const { code } = (JSON.parse(body) as ErrorBody).error;
    // An upstream has codes of its own.
    this.stats.add(`refused:${code !== null && Object.hasOwn(ERRORS, code) ? code : 'upstream_error'}`);
  }
}
