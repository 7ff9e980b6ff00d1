import { InjectQueue } from '@nestjs/bullmq';
import { Inject, Injectable } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  DESK_BODY_LIFE_MS,
  DESK_PATIENCE_MS,
  DESK_QUEUE,
  DESK_WAITING_MAX,
  ERRANDS_QUEUE,
  deskAnswerSchema,
  type DeskAnswer,
  type DeskJob,
  type DeskPayload,
} from '#libs/contracts/claims.js';
import { DaypassError, ERRORS, type ErrorCode } from '#libs/contracts/errors.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ReplyReader } from '../answers/reply.reader.js';
import { newRequestId } from '../domain/request-id.js';
import { overloaded, recovering } from '../refusals.js';

/** So many questions one key may have at the desk of one process. */
const ASKED_BY_KEY_MAX = 4;
const BUSY_RETRY_MS = 1_000;
/** What accounting asks servers of others. */
const ERRANDS: readonly DeskPayload['kind'][] = ['github', 'mail.code'];

/** Asks accounting, which alone knows the books: a job has ids, the question lies sealed in Redis. */
@Injectable()
export class DeskClient {
  private asked = 0;
  private readonly askedByKey = new Map<string, number>();

  constructor(
    @InjectQueue(DESK_QUEUE) private readonly books: Queue<DeskJob>,
    @InjectQueue(ERRANDS_QUEUE) private readonly errands: Queue<DeskJob>,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly box: ContentBox,
    private readonly replies: ReplyReader,
  ) {}

  /** @throws DaypassError `overloaded`, and `recovering` where accounting did not answer in time: it may do so later */
  async ask(payload: DeskPayload): Promise<DeskAnswer> {
    // Many may come within one tick, before Redis counts any of them.
    if (this.asked >= DESK_WAITING_MAX) throw overloaded();
    this.asked += 1;
    try {
      return await this.answerTo(payload);
    } finally {
      this.asked -= 1;
    }
  }

  /** For the holder of a key. @throws DaypassError as `ask`, `rate_limit_exceeded`, and what accounting refuses */
  async askFor(keyId: string, payload: DeskPayload): Promise<unknown> {
    const asked = this.askedByKey.get(keyId) ?? 0;
    if (asked >= ASKED_BY_KEY_MAX) throw tooManyQuestions();
    this.askedByKey.set(keyId, asked + 1);
    try {
      const answer = await this.ask(payload);
      if (answer.ok) return answer.data;
      throw deskRefusal(answer);
    } finally {
      const left = this.askedByKey.get(keyId)! - 1;
      if (left > 0) this.askedByKey.set(keyId, left);
      else this.askedByKey.delete(keyId);
    }
  }

  private async answerTo(payload: DeskPayload): Promise<DeskAnswer> {
    const id = newRequestId();
    const { promise, resolve } = Promise.withResolvers<DeskAnswer | null>();
    this.replies.listen(id, (reply) => {
      if (reply.type === 'desk') resolve(deskAnswerSchema.parse(JSON.parse(reply.body)));
    });
    const timer = setTimeout(() => resolve(null), DESK_PATIENCE_MS);
    try {
      await this.send(id, payload);
      const answer = await promise;
      if (answer !== null) return answer;
      this.logger.warn({ deskId: id, kind: payload.kind }, 'accounting did not answer a question of a visitor in time');
      throw recovering();
    } finally {
      clearTimeout(timer);
      this.replies.forget(id);
    }
  }

  private async send(id: string, payload: DeskPayload): Promise<void> {
    const sealed = this.box.seal(JSON.stringify(payload), id);
    const queue = ERRANDS.includes(payload.kind) ? this.errands : this.books;
    try {
      if ((await queue.getWaitingCount()) >= DESK_WAITING_MAX) throw overloaded();
      await this.redis.set(redisKeys.body(id), sealed, 'PX', DESK_BODY_LIFE_MS);
      const job: DeskJob = { id, replyTo: this.replies.processId };
      // Whoever asked sends the question again.
      await queue.add(queue.name, job, { jobId: id, attempts: 1 });
    } catch (error) {
      if (error instanceof DaypassError) throw error;
      this.logger.warn({ err: error, deskId: id, kind: payload.kind }, 'ingress could not ask accounting');
      throw recovering();
    }
  }
}

/** What accounting refused, as the visitor reads it. */
export function deskRefusal({ code, message, details }: Extract<DeskAnswer, { ok: false }>): DaypassError {
  if (!Object.hasOwn(ERRORS, code))
    throw new Error(`accounting answered with the unknown code '${code.slice(0, 100)}'`);
  return new DaypassError(code as ErrorCode, message, { details });
}

function tooManyQuestions(): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    `At most ${ASKED_BY_KEY_MAX} questions about one key are open at once. Please retry when one has its answer.`,
    { retryAfterMs: BUSY_RETRY_MS, details: { limit: 'desk' } },
  );
}
