import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { ReplyReader } from './answers/reply.reader.js';

@Injectable()
export class IngressMetrics {
  private readonly calls: Counter<'campaign' | 'outcome'>;
  private readonly seconds: Histogram;
  private readonly firstSeconds: Histogram;
  private readonly refusals: Counter<'code'>;
  private readonly replays: Counter;

  constructor(@Inject(REGISTRY) registry: Registry, replies: ReplyReader) {
    const registers = [registry];
    this.calls = new Counter({
      name: 'daypass_calls_total',
      help: 'Calls with a hold, by how they ended',
      labelNames: ['campaign', 'outcome'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'daypass_call_seconds',
      help: 'From the hold to the last byte of the answer',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers,
    });
    this.firstSeconds = new Histogram({
      name: 'daypass_first_token_seconds',
      help: 'From the hold to the first piece of a streamed answer that the visitor gets',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    });
    this.refusals = new Counter({
      name: 'daypass_refusals_total',
      help: 'Requests that got an error of the catalogue, by its code; visitor_left: the visitor hung up before the call had its hold',
      labelNames: ['code'],
      registers,
    });
    this.replays = new Counter({
      name: 'daypass_replays_total',
      help: 'Repeats under an Idempotency-Key that got their first answer',
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

  firstShown(seconds: number): void {
    this.firstSeconds.observe(seconds);
  }

  callEnded(campaign: string, outcome: string, seconds: number): void {
    this.calls.inc({ campaign, outcome });
    this.seconds.observe(seconds);
  }

  replayed(): void {
    this.replays.inc();
  }

  refused(code: string): void {
    this.refusals.inc({ code });
  }
}
