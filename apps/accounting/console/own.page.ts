import type { FastifyRequest } from 'fastify';
import { AdminError } from '../domain/admin.error.js';

/**
 * Browsers send the console's cookie for pages of other ports of the same host, too: cookies do not tell ports apart,
 * and SameSite does not either. So what a browser says of the page decides.
 * @throws AdminError `foreign_page` where the browser names a page of another origin
 */
export function assertOwnPage({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw foreign();
  if (site === undefined && headers.origin !== undefined && !isOwn(headers.origin, headers.host)) throw foreign();
}

/**
 * A write with the cookie needs proof that the console itself sent it, and a content type that no form sends.
 * @throws AdminError `foreign_page` or `unsupported_content_type`
 */
export function assertSafeWrite({ method, headers }: FastifyRequest): void {
  if (method === 'GET' || method === 'HEAD') return;
  const site = headers['sec-fetch-site'];
  // Browsers tell the site only over TLS and on this machine.
  const isProved = site === undefined ? isOwn(headers.origin, headers.host) : site === 'same-origin';
  if (!isProved) throw foreign();
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new AdminError(
      'unsupported_content_type',
      "A write with the console's session needs the header 'content-type: application/json', also without a body.",
    );
}

function isOwn(origin: string | undefined, host: string | undefined): boolean {
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === host?.toLowerCase();
}

function foreign(): AdminError {
  return new AdminError(
    'foreign_page',
    'A page of another origin sent this request. With the session of the console only the console itself may: open /console, or send the admin token.',
  );
}
