import { Injectable } from '@nestjs/common';
import { answerOf, readBody } from '#libs/endpoints/body.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { FileStore } from '#libs/holds/file.store.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { traced } from '#libs/service/tracing.js';
import { AnswerDelivery } from './answer.delivery.js';
import type { Attempt } from './attempt.js';
import { AttemptFailures } from './attempt.failures.js';
import { ParallelInput, type Ready } from './parallel.input.js';
import { UpstreamHealth } from './upstream.health.js';
import { UpstreamQuestion } from './upstream.question.js';

/** Has one upstream do one call, and delivers what comes back. Only `UpstreamQuestion` asks again within it. */
@Injectable()
export class UpstreamExchange {
  constructor(
    private readonly box: ContentBox,
    private readonly files: FileStore,
    private readonly inputs: ParallelInput,
    private readonly question: UpstreamQuestion,
    private readonly health: UpstreamHealth,
    private readonly answers: AnswerDelivery,
    private readonly failures: AttemptFailures,
  ) {}

  /** Returns the attempt's outcome in one word. */
  async run(attempt: Attempt): Promise<string> {
    let ready: Ready;
    try {
      ready = await this.prepare(attempt);
    } catch (error) {
      return this.failures.beforeSending(attempt, error);
    }
    return this.send(attempt, ready);
  }

  private async prepare({ ticket, encrypted, controller }: Attempt): Promise<Ready> {
    // An API that only a later version knows fails here: once something is sent, the bound would be booked.
    endpointOf(ticket);
    const body = readBody(this.box.open(encrypted, ticket.requestId));
    await this.files.assertWhole(ticket.requestId, body.blobs);
    const ready = await this.inputs.beforeSending(ticket, body);
    // A visitor who left by now left before forwarding sent anything.
    controller.signal.throwIfAborted();
    return ready;
  }

  private async send(attempt: Attempt, ready: Ready): Promise<string> {
    const { controller, counted } = attempt;
    let response: Response | null = null;
    try {
      const admitted = this.inputs.whileRunning(ready);
      // A refusal aborts the call at once, because the upstream may be silent for long.
      admitted.catch((error: unknown) => controller.abort(error));
      const opened = await traced('upstream', { kind: 'client' }, () => this.question.ask(attempt, ready));
      response = opened.response;
      this.health.learn(attempt, response.headers, counted, true);
      const { dropped, tag } = opened;
      const judged = await admitted;
      const answered = dropped.length > 0 ? { ...judged, dropped } : judged;
      return await this.answers.deliver(attempt, answered, response, answerOf(ready.body, tag));
    } catch (error) {
      // The rest of a failed answer must not occupy the socket.
      void response?.body?.cancel().catch(() => undefined);
      return this.failures.afterSending(attempt, error, ready.body);
    }
  }
}
