import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  DESK_QUEUE,
  deskPayloadSchema,
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
  private readonly worker: Worker<DeskJob>;

  constructor(redisUrl: string, redis: Redis, box: ContentBox) {
    this.worker = new Worker<DeskJob>(
      DESK_QUEUE,
      async ({ name, data }) => {
        this.jobs.push(JSON.stringify([name, data]));
        const sealed = await redis.getBuffer(redisKeys.body(data.id));
        const payload = deskPayloadSchema.parse(JSON.parse(box.open(sealed!, data.id)));
        this.asked.push(payload);
        const answer = await this.answers(payload);
        if (answer === null) return;
        const parts = [{ id: data.id, reply: { type: 'desk', body: JSON.stringify(answer) } }];
        await redis.xadd(redisKeys.reply(data.replyTo), '*', 'parts', box.seal(JSON.stringify(parts), data.replyTo));
      },
      workerOptions(redisUrl, 8),
    );
    this.worker.on('error', () => undefined);
  }

  pause(): Promise<void> {
    return this.worker.pause();
  }

  resume(): Promise<void> {
    return this.worker.resume();
  }

  close(): Promise<void> {
    return this.worker.close();
  }
}
