import { Worker, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  DESK_QUEUE,
  deskPayloadSchema,
  ERRANDS_QUEUE,
  type DeskAnswer,
  type DeskJob,
  type DeskPayload,
} from '#libs/contracts/claims.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { ContentBox } from '#libs/secrets/content-box.js';

/** Stands for accounting's desk. null: it never answers. */
export type DeskAnswers = (payload: DeskPayload) => DeskAnswer | null | Promise<DeskAnswer | null>;

export class FakeDesk {
  /** All that it was asked, and all jobs as Redis had them. */
  readonly asked: DeskPayload[] = [];
  readonly jobs: string[] = [];
  answers: DeskAnswers = () => ({ ok: true, data: {} });
  private readonly workers: readonly Worker<DeskJob>[];

  constructor(redisUrl: string, redis: Redis, box: ContentBox) {
    const serve = async ({ name, data }: Job<DeskJob>): Promise<void> => {
      this.jobs.push(JSON.stringify([name, data]));
      const sealed = await redis.getBuffer(redisKeys.body(data.id));
      const payload = deskPayloadSchema.parse(JSON.parse(box.open(sealed!, data.id)));
      this.asked.push(payload);
      const answer = await this.answers(payload);
      if (answer === null) return;
      const parts = [{ id: data.id, reply: { type: 'desk', body: JSON.stringify(answer) } }];
      await redis.xadd(redisKeys.reply(data.replyTo), '*', 'parts', box.seal(JSON.stringify(parts), data.replyTo));
    };
    this.workers = [DESK_QUEUE, ERRANDS_QUEUE].map(
      (queue) => new Worker<DeskJob>(queue, serve, workerOptions(redisUrl, 8)),
    );
    for (const worker of this.workers) worker.on('error', () => undefined);
  }

  async pause(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.pause()));
  }

  async resume(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.resume()));
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.close()));
  }
}
