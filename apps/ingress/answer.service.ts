import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import { formatUsd } from '#libs/money/nano.js';
import type { Logger } from '#libs/observability/logger.js';
import { CONFIG, LOGGER } from '#libs/platform/platform.tokens.js';
import type { Visitor } from './authenticator.service.js';
import { CallService, type AdmittedCall } from './call.service.js';
import { limitHeaders } from './domain/limit-headers.js';
import { IngressMetrics } from './ingress.metrics.js';
import { ReplyReader } from './reply.reader.js';

/** A visitor who reads slower than the model writes may leave this much unread before the call is ended. */
const UNREAD_BYTES_MAX = 8_388_608;
/** Beyond the upstream's own time limit: the worker's settling, or the sweeper's. */
const SETTLING_MS = 30_000;

/** Waits for a call's replies and writes them to the visitor; gives the call up when the visitor leaves or time is over. */
@Injectable()
export class AnswerService {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly calls: CallService,
    private readonly replies: ReplyReader,
    private readonly metrics: IngressMetrics,
  ) {}

  /** Resolves when the visitor has the whole answer, or is gone. */
  async answer(call: AdmittedCall, visitor: Visitor, reply: FastifyReply, maxWaitMs: number): Promise<void> {
    const { ticket, hold } = call;
    const { requestId } = ticket;
    const raw = reply.raw;
    const begun = performance.now();
    const headers = (meta: ReplyMeta, availableNano: string | undefined): Record<string, string> => ({
      'x-request-id': requestId,
      'x-daypass-moderation': `input=${meta.moderation.input}; output=${meta.moderation.output}`,
      'x-daypass-queue-ms': String(Math.round(meta.queueMs)),
      'x-daypass-available-usd': formatUsd(BigInt(availableNano ?? hold.availableNano)),
      ...(meta.costNano === undefined ? {} : { 'x-daypass-cost-usd': formatUsd(BigInt(meta.costNano)) }),
      ...limitHeaders({ rpm: visitor.key.rpm, tpm: visitor.key.tpm, requests: hold.windowRequests, tokens: hold.windowTokens }),
    });

    await new Promise<void>((resolve, reject) => {
      let timer: NodeJS.Timeout;
      let opened = false;
      let ended = false;
      const end = (outcome: string): void => {
        if (ended) return;
        ended = true;
        clearTimeout(timer);
        raw.off('close', left);
        this.replies.forget(requestId);
        this.calls.release(requestId);
        this.metrics.callEnded(outcome, (performance.now() - begun) / 1000);
        this.logger.info(
          { requestId, keyId: ticket.keyId, model: ticket.model, stream: ticket.stream, outcome, ms: Math.round(performance.now() - begun) },
          'call',
        );
      };
      const leave = (reason: string): void => {
        end(reason);
        void this.abandon(call, reason);
        resolve();
      };
      const left = (): void => {
        if (!raw.writableFinished) leave('visitor left');
      };
      const fail = (error: DaypassError, outcome: string): void => {
        end(outcome);
        if (opened) {
          raw.end(`data: ${JSON.stringify(error.body())}\n\n`);
          resolve();
        } else {
          reject(error);
        }
      };
      /** The wait is over: a call that was not dispatched is refused, one that runs is waited for. */
      const deadline = async (): Promise<void> => {
        const state = await this.calls.giveUp(ticket, 'waited too long').catch(() => 'ended' as const);
        if (ended) return;
        if (state === 'voided') {
          fail(
            new DaypassError('queue_full', `No turn came within ${maxWaitMs} ms: the account's rate limits are in full use. Please retry.`, {
              retryAfterMs: maxWaitMs,
            }),
            'queue_full',
          );
        } else {
          timer = setTimeout(() => {
            fail(
              new DaypassError('upstream_outcome_unknown', 'The upstream did not end this call in time, so its outcome is unknown.'),
              'upstream_outcome_unknown',
            );
          }, this.config.limits.upstreamTimeoutMs + SETTLING_MS);
        }
      };

      const write = (text: string): void => {
        raw.write(text);
        if (raw.writableLength > UNREAD_BYTES_MAX) raw.destroy();
      };
      const onReply = (message: Reply, availableNano: string | undefined): void => {
        switch (message.type) {
          case 'answer':
            end(message.status < 400 ? 'ok' : String(message.status));
            void reply.hijack();
            raw.writeHead(message.status, { ...headers(message.meta, availableNano), ...message.headers, 'content-type': message.contentType });
            raw.end(message.body);
            resolve();
            break;
          case 'open':
            opened = true;
            void reply.hijack();
            raw.writeHead(200, { ...headers(message.meta, availableNano), 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
            break;
          case 'frames':
            write(message.text);
            break;
          case 'end':
            end('ok');
            raw.end();
            resolve();
            break;
        }
      };

      raw.on('close', left);
      // Redis decides about the deadline too; the margin lets its answer come first.
      timer = setTimeout(() => void deadline(), maxWaitMs + 500);
      this.replies.listen(requestId, onReply);
      this.calls.enqueue(call).catch((error: unknown) => {
        end('not enqueued');
        reject(error as Error);
      });
      if (raw.destroyed) left();
    });
  }

  private async abandon({ ticket }: AdmittedCall, reason: string): Promise<void> {
    try {
      if ((await this.calls.giveUp(ticket, reason)) === 'running') await this.calls.cancelUpstream(ticket.requestId);
    } catch (error) {
      // The lease is no longer renewed from here, so the sweeper ends the hold.
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'an abandoned call could not be given up');
    }
  }
}
