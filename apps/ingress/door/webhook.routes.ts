import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Logger } from '#libs/service/logger.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { recovering } from '../refusals.js';
import { routeAccess } from './route-guard.js';

const PATH = '/webhooks/openai';
/** A notice names a case, and has no content. */
const BODY_BYTES_MAX = 262_144;
/** The client wants a key. It calls nobody here: it checks signatures. */
const VERIFIES_ONLY = 'none';
const TYPES = ['safety.warning_issued', 'safety.deactivation_issued'] as const;

/**
 * Takes the provider's signed safety notices about visitors. Accounting then looks up the case and suspends the
 * visitor. Without OPENAI_WEBHOOK_SECRET there is no such route.
 */
export async function serveWebhooks(
  app: NestFastifyApplication,
  config: DaypassConfig,
  redis: Redis,
  logger: Logger,
): Promise<void> {
  const { webhookSecret } = config.openai;
  if (webhookSecret === undefined) return;
  // It takes 8 MB, which an ingress without such a route saves.
  const { default: OpenAI, InvalidWebhookSignatureError } = await import('openai');
  const { webhooks } = new OpenAI({ apiKey: VERIFIES_ONLY, organization: null, project: null, webhookSecret });
  const recorder = new EventRecorder(redis);
  void app
    .getHttpAdapter()
    .getInstance()
    .register((scope, _, done) => {
      // The signature covers the bytes as they came.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, parsed) => parsed(null, body));
      scope.post(PATH, { bodyLimit: BODY_BYTES_MAX, config: routeAccess('keyless') }, async (request, reply) => {
        const event = await webhooks
          .unwrap(typeof request.body === 'string' ? request.body : '', request.headers)
          .catch((error: unknown) => {
            logger.warn(
              { kind: error instanceof InvalidWebhookSignatureError ? 'signature' : 'form' },
              'ingress refused a webhook message',
            );
            const refusal = new DaypassError(
              'invalid_request',
              'The provider did not sign this message with OPENAI_WEBHOOK_SECRET within the last five minutes.',
            );
            return refusal;
          });
        if (event instanceof DaypassError)
          return reply.status(event.status).headers(event.headers()).send(event.body());
        const type = TYPES.find((one) => one === event.type);
        // Accept every other message, so that the provider does not repeat it.
        if (!type) return reply.send({ received: true });
        const caseId = (event.data as { id: string }).id;
        try {
          await recorder.record({ kind: 'safety', id: caseId, type });
        } catch (error) {
          logger.warn({ err: error, caseId }, 'ingress could not record a safety notice; the provider sends it again');
          const later = recovering();
          return reply.status(later.status).headers(later.headers()).send(later.body());
        }
        logger.error({ caseId, type }, 'the provider issued a safety notice');
        return reply.send({ received: true });
      });
      done();
    });
}
