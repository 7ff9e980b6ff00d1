import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { errorAnswer } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import { readBody, writtenBody } from '#libs/endpoints/body.js';
import { refusalAtLane } from '#libs/contracts/queue-refusals.js';
import { InputJudge } from '#libs/moderation/input.judge.js';
import { traced } from '#libs/service/tracing.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { CallEnder, type EndDetails } from '#libs/holds/call-ender.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { insist } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';

/** Judges the input of calls. Each call goes on to its lane, or moderation refuses it and voids its hold. */
@Injectable()
export class InputModerator {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
    private readonly inputs: InputJudge,
    private readonly lanes: LaneQueues,
    private readonly ender: CallEnder,
  ) {}

  async moderate(calls: readonly Ticket[]): Promise<void> {
    const bodies = await this.redis.mgetBuffer(calls.map((call) => redisKeys.body(call.requestId)));
    // Await all calls before one failure is thrown: the retry of the job then repeats only those without an end.
    const outcomes = await Promise.allSettled(
      calls.map((call, index) =>
        traced('judge input', { parent: call.trace, attributes: { 'daypass.request_id': call.requestId } }, () =>
          this.moderateOne(call, bodies[index] ?? null),
        ),
      ),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async moderateOne(ticket: Ticket, encrypted: Buffer | null): Promise<void> {
    // The visitor left, and ingress voided the hold, which deletes the body.
    if (!encrypted) return;
    const body = readBody(this.box.open(encrypted, ticket.requestId));
    if (ticket.policy.input === 'observe') {
      if (await this.passOn(ticket)) await this.inputs.observe(ticket, body);
      return;
    }
    const judged = await this.inputs.judge(ticket, body, { carried: true });
    const { requestId } = ticket;
    if (judged.body === null) {
      const { verdict, error, strike } = judged.decision;
      await this.refuse(ticket, error, verdict, { strike, events: judged.events });
      return;
    }
    if (judged.body !== body) {
      const encrypted = this.box.seal(writtenBody(judged.body), requestId);
      await this.redis.set(redisKeys.body(requestId), encrypted, 'KEEPTTL', 'XX');
    }
    await this.passOn({ ...ticket, inputVerdict: judged.decision.verdict }, judged.events);
  }

  /**
   * Passes the call on to its lane, with its verdicts, in one step. False where the lane has no room for it in time.
   */
  private async passOn(ticket: Ticket, events: readonly Recorded[] = []): Promise<boolean> {
    // A retry of the whole job would judge again, and record a second verdict.
    const entered = await insist(() => this.lanes.enqueue(ticket, events), ticket.patienceMs);
    const error = refusalAtLane(entered, ticket.patienceMs);
    if (error) await this.refuse(ticket, error, ticket.inputVerdict);
    return error === null;
  }

  private async refuse(
    ticket: Ticket,
    error: DaypassError,
    input: VerdictWord,
    more: Pick<EndDetails, 'strike' | 'events'> = {},
  ): Promise<void> {
    const reply = errorAnswer(error, { moderation: { input, output: 'off' }, queueMs: 0 });
    await this.ender.void({ ticket }, { detail: { reason: error.code, ...error.details }, reply, ...more });
  }
}
