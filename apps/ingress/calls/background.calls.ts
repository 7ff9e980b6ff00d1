import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import type { ReadReply } from '#libs/contracts/reply.js';
import type { Body, Endpoint } from '#libs/endpoints/endpoint.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { BackgroundStore, type BackgroundCall } from '#libs/shelf/background.store.js';
import { ReplyReader } from '../answers/reply.reader.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import { outcomeUnknown, overloaded, recovering } from '../refusals.js';
import { CallService } from './call.service.js';

/** As in a session with a visitor. */
const DEADLINE_MARGIN_MS = 2_000;
const SETTLING_MS = 30_000;
/** An answer that nobody could keep says so. */
const NOT_STORED = Buffer.from('"store":false');

/**
 * Runs calls that no visitor waits for. Their answers are on the shelf before the calls end; here is only what became of
 * those without one. A call goes on where this process dies: then its hold says how it stands.
 */
@Injectable()
export class BackgroundCalls {
  /** Those of this process that have not ended. */
  private readonly running = new Map<string, () => void>();

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly calls: CallService,
    private readonly replies: ReplyReader,
    private readonly store: BackgroundStore,
  ) {}

  /** Returns what its visitor gets at once. @throws DaypassError after it voided the hold */
  async start(admitted: AdmittedCall, endpoint: Endpoint, body: Body): Promise<JsonObject> {
    const { ticket } = admitted;
    const { requestId, keyId, campaignId, lane, replyTo } = ticket;
    const queued = endpoint.queued!(ticket, body);
    const background: BackgroundCall = { call: { requestId, keyId, campaignId, lane, replyTo }, queued };
    try {
      await this.keep(background);
      this.follow(admitted, background);
      await this.calls.enqueue(admitted, (outcome) =>
        this.end(background, outcome === 'voided' ? recovering() : outcomeUnknown()),
      );
    } catch (error) {
      this.release(admitted);
      await this.calls.giveUp(ticket, 'not started').catch(() => undefined);
      await this.store.forget(keyId, queued.id as string).catch(() => undefined);
      throw error;
    }
    return queued;
  }

  /** Ends a call, wherever it stands, and says so. */
  async cancel(background: BackgroundCall): Promise<void> {
    const { call } = background;
    const state = await this.calls.giveUp(call, 'cancelled');
    if (state === 'ended') return;
    await this.store.end(background, { cancelled: true });
    this.running.get(call.requestId)?.();
    // Its worker ends it at once. A dead one loses its lease.
    if (state === 'running') void this.calls.abandon(call);
  }

  private async keep(background: BackgroundCall): Promise<void> {
    const kept = await this.store.keep(background).catch((error: unknown) => {
      this.logger.warn({ err: error, requestId: background.call.requestId }, 'ingress could not keep a call');
      throw recovering();
    });
    if (!kept) throw overloaded();
  }

  private follow(admitted: AdmittedCall, background: BackgroundCall): void {
    const { ticket, maxWaitMs } = admitted;
    const { upstreamTimeoutMs } = this.config.limits;
    const late = setTimeout(
      () =>
        void this.calls.giveUp(ticket, 'waited too long').then(
          (state) => {
            if (state === 'voided') this.end(background, tooLate());
            else if (state !== 'running') this.running.get(ticket.requestId)?.();
          },
          () => undefined,
        ),
      maxWaitMs + DEADLINE_MARGIN_MS,
    );
    // Whatever was lost: nobody listens for longer.
    const last = setTimeout(() => this.running.get(ticket.requestId)?.(), maxWaitMs + upstreamTimeoutMs + SETTLING_MS);
    this.running.set(ticket.requestId, () => {
      clearTimeout(late);
      clearTimeout(last);
      this.release(admitted);
    });
    this.replies.listen(ticket.requestId, (reply) => this.hear(background, reply as ReadReply));
  }

  private hear(background: BackgroundCall, reply: ReadReply): void {
    if (reply.type === 'answer' && reply.status >= 400) {
      this.fail(background, (JSON.parse(reply.bytes.toString()) as ErrorBody).error);
    } else if (reply.type === 'answer' && reply.bytes.includes(NOT_STORED)) this.end(background, noRoom());
    else if (reply.type === 'answer' || reply.type === 'end') this.running.get(background.call.requestId)?.();
  }

  private end(background: BackgroundCall, error: DaypassError): void {
    this.fail(background, error.body().error);
  }

  private fail(background: BackgroundCall, error: ErrorBody['error']): void {
    const { requestId, keyId } = background.call;
    const ended = this.running.get(requestId);
    if (!ended) return;
    ended();
    this.store.end(background, { error }).catch((thrown: unknown) => {
      this.logger.warn({ err: thrown, requestId, keyId }, 'ingress could not say how a call ended');
    });
  }

  private release({ ticket }: AdmittedCall): void {
    if (!this.running.delete(ticket.requestId)) return;
    this.replies.forget(ticket.requestId);
    this.calls.release(ticket);
  }
}

const tooLate = (): DaypassError =>
  new DaypassError(
    'queue_full',
    "No turn came in time: the account's rate limits are in full use. Send the request again.",
  );

const noRoom = (): DaypassError =>
  new DaypassError(
    'overloaded',
    'The answer was too large for what Daypass keeps for this key, or there was no room for it. It was charged.',
  );
