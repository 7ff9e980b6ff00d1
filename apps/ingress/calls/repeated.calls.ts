import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { CheckEvent } from '#libs/contracts/audit.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import { StoppedCalls, type StoppedCall } from '#libs/holds/stopped.calls.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import type { Visitor } from '../door/authenticator.service.js';
import { recovering } from '../refusals.js';

/** As the guard of a check in the record, which is no new verdict. */
const GUARD = 'repeat';

/** A call that repeats one whose answer was blocked within the last minute. */
export interface Repeat {
  requestId: string;
  hash: string;
  policy: CallPolicy;
}

/** Answers repeats of blocked calls from their first verdict, and puts each on record. */
@Injectable()
export class RepeatedCalls {
  private readonly stopped: StoppedCalls;
  private readonly recorder: EventRecorder;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) redis: Redis,
    box: ContentBox,
  ) {
    this.stopped = new StoppedCalls(redis, box);
    this.recorder = new EventRecorder(redis);
  }

  /** @throws DaypassError `recovering` where Redis does not take it into the record: nothing is shown then */
  async answer({ key, campaign }: Visitor, { requestId, hash, policy }: Repeat, sealed: string): Promise<StoppedCall> {
    const first = this.stopped.read(key.id, hash, sealed);
    const event: CheckEvent = {
      kind: 'check',
      id: `${requestId}-${GUARD}`,
      request: first.requestId,
      key: key.id,
      campaign: campaign.id,
      direction: 'output',
      guard: GUARD,
      model: '',
      decision: 'blocked',
      categories: [],
      scores: {},
      reason: `repeated by ${requestId}`,
      latency_ms: 0,
      policy,
    };
    await this.recorder.record(event).catch((error: unknown) => {
      this.logger.warn({ err: error, requestId }, 'ingress could not put a repeated call on record');
      throw recovering();
    });
    this.logger.info({ requestId, firstRequestId: first.requestId, keyId: key.id }, 'repeated a blocked call');
    return first;
  }
}
