import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import OpenAI, { InvalidWebhookSignatureError } from 'openai';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Logger } from '#libs/service/logger.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { recovering } from '../refusals.js';

const PATH = '/webhooks/openai';
const TYPES = ['safety.warning_issued', 'safety.deactivation_issued'] as const;

/**
 * Where the provider tells of a visitor whom it warns of, or wants no more of. Only what it signed is heard; accounting looks
 * the case up and suspends the visitor. Without OPENAI_WEBHOOK_SECRET there is no such door.
 */
export function serveWebhooks(app: NestFastifyApplication, config: DaypassConfig, redis: Redis, logger: Logger): void {
  const { webhookSecret, apiKey } = config.openai;
  if (webhookSecret === undefined) return;
  const { webhooks } = new OpenAI({ apiKey, organization: null, project: null, webhookSecret });
  const recorder = new EventRecorder(redis);
  void app
    .getHttpAdapter()
    .getInstance()
    .register((scope, _, done) => {
      // The signature covers the bytes as they came.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, parsed) => parsed(null, body));
      scope.post(PATH, async (request, reply) => {
        const event = await webhooks
          .unwrap(typeof request.body === 'string' ? request.body : '', request.headers)
          .catch((error: unknown) => {
            logger.warn(
              { kind: error instanceof InvalidWebhookSignatureError ? 'signature' : 'form' },
              "a webhook of the provider's was refused",
            );
            const refusal = new DaypassError(
              'invalid_request',
              'This is no message that the provider signed with the secret of OPENAI_WEBHOOK_SECRET within the last five minutes.',
            );
            return refusal;
          });
        if (event instanceof DaypassError)
          return reply.status(event.status).headers(event.headers()).send(event.body());
        const type = TYPES.find((known) => known === event.type);
        // Whatever else it tells of is heard, so that it is not told again and again.
        if (!type) return reply.send({ received: true });
        const caseId = (event.data as { id: string }).id;
        try {
          await recorder.record({ kind: 'safety', id: caseId, type });
        } catch (error) {
          logger.warn({ err: error, caseId }, 'a safety notice could not be kept; the provider tells it again');
          const later = recovering();
          return reply.status(later.status).headers(later.headers()).send(later.body());
        }
        logger.error({ caseId, type }, 'the provider issued a safety notice');
        return reply.send({ received: true });
      });
      done();
    });
}
