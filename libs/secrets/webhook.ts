import { createHmac } from 'node:crypto';

/**
 * The headers of a signed message (Standard Webhooks). They prove to the receiver that Daypass sent it, and when.
 * `webhook-signature` is `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
 */
export function webhookHeaders(id: string, body: string, secret: string): Record<string, string> {
  const timestamp = Math.floor(Date.now() / 1_000).toString();
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
}
