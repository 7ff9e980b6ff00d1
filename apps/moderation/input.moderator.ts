import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { errorAnswer, unsent } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import { readBody, writtenBody } from '#libs/endpoints/body.js';
import type { Body } from '#libs/endpoints/endpoint.js';
import { refusalAtLane } from '#libs/contracts/queue-refusals.js';
import { RemoteImages } from '#libs/moderation/images/remote.images.js';
import { InputJudge } from '#libs/moderation/input.judge.js';
import { traced } from '#libs/service/tracing.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { FilesGone } from '#libs/holds/file.store.js';
import { CallEnder, type EndDetails } from '#libs/holds/call-ender.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { insist } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import { isOutOfMemory } from '#libs/redis/out-of-memory.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { JudgingPlaces } from './judging.places.js';

const BODIES_AT_ONCE = 32;

const NO_ROOM = 'Daypass has no room for this request right now. Nothing was charged. Please retry.';
const FILES_GONE = 'Daypass lost the files of this request. Nothing was charged. Please retry.';
const NO_ROOM_RETRY_MS = 5_000;

/** Judges the input of calls. Each call goes on to its lane, or moderation refuses it and voids its hold. */
@Injectable()
export class InputModerator {
  private readonly bodies = new TickBatch<string, Buffer | null>(BODIES_AT_ONCE, (requestIds) =>
    this.redis.mgetBuffer(requestIds.map((requestId) => redisKeys.body(requestId))),
  );

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
    private readonly images: RemoteImages,
    private readonly inputs: InputJudge,
    private readonly lanes: LaneQueues,
    private readonly ender: CallEnder,
    private readonly places: JudgingPlaces,
  ) {}

  async moderate(calls: readonly Ticket[]): Promise<void> {
    // Await all calls before one failure is thrown: the retry of the job then repeats only those without an end.
    const outcomes = await Promise.allSettled(
      calls.map((call) =>
        traced('judge input', { parent: call.trace, attributes: { 'daypass.request_id': call.requestId } }, () =>
          this.moderateInPlace(call),
        ),
      ),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async moderateInPlace(ticket: Ticket): Promise<void> {
    await this.places.enter(ticket);
    try {
      await this.moderateOne(ticket, await this.bodies.add(ticket.requestId));
    } finally {
      this.places.leave(ticket);
    }
  }

  private async moderateOne(ticket: Ticket, encrypted: Buffer | null): Promise<void> {
    // The visitor left, and ingress voided the hold, which deletes the body.
    if (!encrypted) return;
    const waiting = readBody(this.box.open(encrypted, ticket.requestId));
    try {
      await this.judge(ticket, waiting, await this.images.inlined(ticket, waiting));
    } catch (error) {
      const refusal = error instanceof FilesGone ? new DaypassError('recovering', FILES_GONE) : error;
      if (!(refusal instanceof DaypassError)) throw error;
      await this.refuse(ticket, refusal, ticket.policy.input === 'gate' ? 'unchecked' : ticket.inputVerdict);
    }
  }

  /** `waiting`: the body in Redis. Whatever is judged takes its place before the call goes on. */
  private async judge(ticket: Ticket, waiting: Body, body: Body): Promise<void> {
    const { input } = ticket.policy;
    // Under `parallel` forwarding judges, and only images brought the call here.
    if (input === 'observe' || input === 'parallel') {
      if (body !== waiting) await this.rewrite(ticket, body);
      if (input === 'observe') await this.inputs.observe(ticket, body, () => this.passOn(ticket));
      else await this.passOn(ticket);
      return;
    }
    const judged = await this.inputs.judge(ticket, body, { carried: true });
    if (judged.body === null) {
      const { verdict, error, strike } = judged.decision;
      await this.refuse(ticket, error, verdict, { strike, events: judged.events });
      return;
    }
    if (judged.body !== waiting) await this.rewrite(ticket, judged.body);
    await this.passOn({ ...ticket, inputVerdict: judged.decision.verdict }, judged.events);
  }

  /** @throws DaypassError `overloaded` where Redis has no room for what became of the body */
  private async rewrite({ requestId }: Ticket, body: Body): Promise<void> {
    try {
      const encrypted = this.box.seal(writtenBody(body), requestId);
      await this.redis.set(redisKeys.body(requestId), encrypted, 'KEEPTTL', 'XX');
    } catch (error) {
      if (isOutOfMemory(error)) throw new DaypassError('overloaded', NO_ROOM, { retryAfterMs: NO_ROOM_RETRY_MS });
      throw error;
    }
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
    const reply = errorAnswer(error, unsent({ moderation: { input, output: 'off' }, queueMs: 0 }));
    await this.ender.void({ ticket }, { detail: { reason: error.code, ...error.details }, reply, ...more });
  }
}
