import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';

/** Whether Redis has what Postgres has. */
@Injectable()
export class ProjectionMetrics {
  private readonly pending: Gauge;
  private readonly rebuilds: Counter;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.pending = new Gauge({
      name: 'daypass_projections_pending',
      help: 'Keys and campaigns whose last change Redis does not have yet',
      registers,
    });
    this.rebuilds = new Counter({
      name: 'daypass_rebuilds_total',
      help: 'Times that accounting rebuilt Redis from the ledger',
      registers,
    });
  }

  projectionsPending(count: number): void {
    this.pending.set(count);
  }

  rebuilt(): void {
    this.rebuilds.inc();
  }
}
