import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { errorAnswer, isKept } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { refusalAtLane } from '#libs/contracts/queue-refusals.js';
import type { Reply } from '#libs/contracts/reply.js';
import { InputJudge } from '#libs/moderation/input.judge.js';
import { traced } from '#libs/service/tracing.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import type { EndRequest } from '#libs/holds/hold.types.js';
import { insist, mended } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';

/** Judges the input of calls and passes each on, or refuses it and gives its hold back. */
@Injectable()
export class InputModerator {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly holds: HoldStore,
    private readonly box: ContentBox,
    private readonly inputs: InputJudge,
    private readonly lanes: LaneQueues,
  ) {}

  async judge(calls: readonly Ticket[]): Promise<void> {
    const bodies = await this.redis.mgetBuffer(calls.map((call) => redisKeys.body(call.requestId)));
    // All settle before one failure is thrown: the retry of the job repeats only what the holds do not know yet.
    const ends = await Promise.allSettled(
      calls.map((call, index) =>
        traced('judge input', { parent: call.trace, attributes: { 'daypass.request_id': call.requestId } }, () =>
          this.judgeOne(call, bodies[index] ?? null),
        ),
      ),
    );
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async judgeOne(ticket: Ticket, sealed: Buffer | null): Promise<void> {
    // The visitor left, so the hold was voided and the body with it.
    if (!sealed) return;
    const body = JSON.parse(this.box.open(sealed, ticket.requestId)) as Record<string, unknown>;
    if (ticket.policy.input === 'observe') {
      if (await this.passOn(ticket)) await this.inputs.observe(ticket, body);
      return;
    }
    const { decision, body: judged, events } = await this.inputs.judge(ticket, body, { carried: true });
    if (decision.pass) {
      if (judged !== body)
        await this.redis.set(
          redisKeys.body(ticket.requestId),
          this.box.seal(JSON.stringify(judged), ticket.requestId),
          'KEEPTTL',
          'XX',
        );
      await this.passOn({ ...ticket, inputVerdict: decision.word }, events);
      return;
    }
    const moderation = { input: decision.word === 'blocked' ? 'blocked' : 'unchecked', output: 'off' } as const;
    const strike: Pick<EndRequest, 'strike'> = decision.strike ? { strike: ticket.policy.strikes ?? true } : {};
    await this.refuse(ticket, decision.error, errorAnswer(decision.error, { moderation, queueMs: 0 }), {
      ...strike,
      events,
    });
  }

  /** With its verdicts, in one step. False where its lane will not have room for it in time, or ever. */
  private async passOn(ticket: Ticket, events: readonly Recorded[] = []): Promise<boolean> {
    // Whoever judged anew would put another verdict on record.
    const entered = await insist(() => this.lanes.enqueue(ticket, events), ticket.patienceMs);
    const error = refusalAtLane(entered, ticket.patienceMs);
    if (!error) return true;
    await this.refuse(
      ticket,
      error,
      errorAnswer(error, { moderation: { input: ticket.inputVerdict, output: 'off' }, queueMs: 0 }),
    );
    return false;
  }

  private async refuse(
    ticket: Ticket,
    error: DaypassError,
    answer: Reply,
    more: Pick<EndRequest, 'strike' | 'events'> = {},
  ): Promise<void> {
    const { requestId, keyId, campaignId, lane, replyTo } = ticket;
    const end: EndRequest = {
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      transition: 'void',
      ...more,
      detail: { reason: error.code, ...error.details },
      reply: this.box.seal(JSON.stringify(answer), requestId),
      ...(ticket.keepAnswer && isKept(answer) ? { keep: 'reply' as const } : {}),
    };
    await insist(() => this.holds.end(end).then(mended));
  }
}
