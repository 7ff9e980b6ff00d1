import type { IncomingHttpHeaders } from 'node:http';

/** Programs that show a preview of a link where somebody posts it, and mail filters that follow links. */
const PREVIEWS =
  /bot\b|bot[/;]|crawl|spider|slurp|facebookexternalhit|preview|whatsapp|embedly|unfurl|headless|curl|wget/i;

/** A person who opens a page, as far as headers tell: no prefetch, no preview, no program. */
export function isPageView(method: string, headers: IncomingHttpHeaders): boolean {
  if (method !== 'GET' || !(headers.accept ?? '').includes('text/html')) return false;
  const purpose = `${String(headers['sec-purpose'] ?? '')} ${String(headers.purpose ?? '')} ${String(headers['x-moz'] ?? '')}`;
  return !/prefetch|prerender|preview/i.test(purpose) && !PREVIEWS.test(headers['user-agent'] ?? 'bot');
}
