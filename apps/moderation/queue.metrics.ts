import { InjectQueue } from '@nestjs/bullmq';
import { Inject, Injectable } from '@nestjs/common';
import type { Queue } from 'bullmq';
import { Gauge, type Registry } from 'prom-client';
import { MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { JudgingPlaces } from './judging.places.js';

const STATES = ['waiting', 'active', 'delayed'] as const;

/** Measures the queue of moderation, which all processes share, and the line before this process's places. */
@Injectable()
export class QueueMetrics {
  constructor(
    @Inject(REGISTRY) registry: Registry,
    @InjectQueue(MODERATION_QUEUE) queue: Queue,
    @Inject(JudgingPlaces) places: JudgingPlaces,
  ) {
    const registers = [registry];
    new Gauge({
      name: 'daypass_moderation_queue_jobs',
      help: 'Jobs of the moderation queue by state; a job carries the calls of one tick',
      labelNames: ['state'],
      registers,
      async collect() {
        this.reset();
        // While Redis is away, the other metrics stay.
        const counts = await queue.getJobCounts(...STATES).catch(() => null);
        if (counts) for (const state of STATES) this.set({ state }, counts[state] ?? 0);
      },
    });
    new Gauge({
      name: 'daypass_moderation_queue_oldest_seconds',
      help: 'How long the first job of the moderation queue, or the first call for a place in this process, has waited; 0: none waits',
      registers,
      async collect() {
        const [oldest] = await queue.getJobs(['waiting'], 0, 0, true).catch(() => []);
        this.set(Math.max(oldest ? Date.now() - oldest.timestamp : 0, places.oldestMs) / 1_000);
      },
    });
  }
}
