import { setTimeout as sleep } from 'node:timers/promises';
import { APIError } from 'openai';
import type { Redis } from 'ioredis';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { InquiryJob } from '#libs/contracts/jobs.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import { isTooLarge } from '#libs/endpoints/error-shapes.js';
import { isObject, type Json } from '#libs/endpoints/json.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { retryAfterMs, type AskEndpoint } from '#libs/moderation/moderator.js';
import { FairQueue } from '#libs/pacing/fair.queue.js';
import type { LastPacer } from '#libs/pacing/last.pacer.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from 'pino';

/** Those of one process that are with the endpoint at once. Verdicts have places of their own. */
const IN_FLIGHT_MAX = 4;
/** Verdicts may take the room meanwhile. */
const LOOK_AGAIN_MAX_MS = 500;
const PLACE_LOOK_MS = 20;
const FREEZE_DEFAULT_MS = 1_000;
/** The input is to blame for these answers, not the account. */
const REFUSALS = new Set([400, 413, 415, 422]);
const ACCOUNT_CODE = /quota|billing|spend_limit|credit/;
const FREE: ReplyMeta = { moderation: { input: 'off', output: 'off' }, queueMs: 0, costNano: '0' };

interface Waiting {
  job: InquiryJob;
  sinceMs: number;
  go: (reply: Reply | null) => void;
}

interface InquiryDeskParts {
  redis: Redis;
  box: ContentBox;
  channel: ReplyChannel;
  pacer: LastPacer;
  ask: AskEndpoint;
  timeoutMs: number;
  logger: Logger;
}

/**
 * Asks the moderation endpoint what visitors want to know of it. They come last: no verdict on a call waits for them.
 * Keys take turns. Each inquiry gets one answer, the endpoint's own or an error.
 */
export class InquiryDesk {
  private readonly waiting = new FairQueue<Waiting>();
  private inFlight = 0;
  private isServing = false;

  constructor(private readonly parts: InquiryDeskParts) {}

  /** @throws when Redis takes no answer: the visitor asks again */
  async serve(job: InquiryJob): Promise<void> {
    const reply = await new Promise<Reply | null>((resolve) => {
      this.waiting.add(job.key, { job, sinceMs: performance.now(), go: resolve });
      if (!this.isServing) void this.turns();
    });
    if (reply === null) return;
    await this.parts.channel.send({ replyTo: job.replyTo, requestId: job.id, reply });
    await this.parts.redis.del(redisKeys.body(job.id));
  }

  /** One after the other takes its turn. The calls themselves run beside each other. */
  private async turns(): Promise<void> {
    this.isServing = true;
    for (let next = this.waiting.take(); next; next = this.waiting.take()) {
      const { job, go } = next;
      try {
        const inquiry = await this.turnOf(next);
        this.inFlight++;
        void (inquiry === null ? Promise.resolve(null) : this.answer(job, inquiry))
          .then(go, (error: unknown) => go(this.failed(job, error)))
          .finally(() => this.inFlight--);
      } catch (error) {
        go(this.failed(job, error));
      }
    }
    this.isServing = false;
  }

  /** Waits until the inquiry may go. null: its visitor left. @throws DaypassError where it may not wait for so long */
  private async turnOf({ job, sinceMs }: Waiting): Promise<Json> {
    const { redis, box, pacer } = this.parts;
    const untilMs = sinceMs + job.patienceMs;
    while (this.inFlight >= IN_FLIGHT_MAX) await sleep(PLACE_LOOK_MS);
    for (;;) {
      const sealed = await redis.getBuffer(redisKeys.body(job.id));
      if (sealed === null) return null;
      const waitMs = await pacer.reserve(job.tokens);
      if (waitMs === 0) return JSON.parse(box.open(sealed, job.id));
      if (waitMs === Infinity) throw neverFits();
      if (performance.now() + waitMs > untilMs) throw late(waitMs);
      await sleep(Math.min(LOOK_AGAIN_MAX_MS, waitMs));
    }
  }

  private async answer({ results }: InquiryJob, inquiry: Json): Promise<Reply> {
    const { ask, timeoutMs, pacer } = this.parts;
    try {
      const answer = await ask(inquiry as Parameters<AskEndpoint>[0], timeoutMs);
      if (!isObject(answer) || !Array.isArray(answer.results) || answer.results.length !== results)
        throw new Error('the moderation endpoint answered with something else than its results');
      return {
        type: 'answer',
        status: 200,
        contentType: 'application/json',
        headers: {},
        body: JSON.stringify(answer),
        meta: FREE,
      };
    } catch (error) {
      if (!(error instanceof APIError)) throw error;
      if (error.status === 429 && isTooLarge(error.message)) throw neverFits();
      if (error.status === 429 && !ACCOUNT_CODE.test(error.code ?? '')) {
        const freezeMs = retryAfterMs(error) ?? FREEZE_DEFAULT_MS;
        await pacer.freeze(freezeMs);
        throw late(freezeMs);
      }
      if (REFUSALS.has(Number(error.status)) && !ACCOUNT_CODE.test(error.code ?? '')) throw refusedBy(error);
      throw error;
    }
  }

  private failed({ id, key }: InquiryJob, error: unknown): Reply {
    if (error instanceof DaypassError) return errorAnswer(error, FREE);
    // The endpoint's message may quote the content.
    const { name, status, code } = error as { name?: string; status?: unknown; code?: unknown };
    this.parts.logger.warn({ requestId: id, keyId: key, err: { name, status, code } }, 'an inquiry got no answer');
    return errorAnswer(
      new DaypassError('moderation_unavailable', 'The moderation endpoint does not answer now. Please retry.', {
        retryAfterMs: FREEZE_DEFAULT_MS,
      }),
      FREE,
    );
  }
}

function neverFits(): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    'This request is larger than the part of the moderation limits that visitors may use: send fewer or shorter texts at once.',
    { param: 'input', retry: false, details: { limit: 'moderation' } },
  );
}

function late(waitMs: number): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    'The moderation endpoint is busy with calls, which go first. Please retry later.',
    { retryAfterMs: Math.max(FREEZE_DEFAULT_MS, waitMs), details: { limit: 'moderation' } },
  );
}

/** Only the code: the message may quote what was asked, or name the account. */
function refusedBy({ status, code }: APIError): DaypassError {
  const why = code === null || code === undefined ? `status ${status}` : `the code '${code.slice(0, 64)}'`;
  return new DaypassError('invalid_request', `The moderation endpoint refused this input with ${why}.`, {
    param: 'input',
  });
}
