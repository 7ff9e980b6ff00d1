import type { IncomingHttpHeaders } from 'node:http';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Client } from '#libs/endpoints/endpoint.js';

/** What the headers of a visitor's program say of it. No upstream gets any of them. */

/** Codex says which of its programs calls: `codex_cli_rs`, `codex_exec`, `codex_vscode`… */
const CODEX = /^codex/i;
/** OpenAI's own bound of `X-Client-Request-Id`. */
const CLIENT_REQUEST_ID = /^[\x20-\x7e]{1,128}$/;
/** Its streams have other events, which nobody here could judge. */
const REFUSED_BETA = 'responses_multi_agent';

/**
 * Refuses what would ask for another API than the one of its address. Every other beta is ignored: none goes upstream.
 * @throws DaypassError `invalid_request` that names the header or the query parameter
 */
export function refuseBetas(headers: IncomingHttpHeaders, url: string): void {
  const betas = String(headers['openai-beta'] ?? '').split(',');
  const refused = betas.map((beta) => beta.trim()).find((beta) => beta.split('=', 1)[0] === REFUSED_BETA);
  if (refused !== undefined) {
    throw new DaypassError(
      'invalid_request',
      `Daypass does not serve the beta '${refused.slice(0, 64)}'. Leave it out of the header OpenAI-Beta.`,
      { param: 'OpenAI-Beta' },
    );
  }
  const query = url.indexOf('?');
  if (query < 0 || !new URLSearchParams(url.slice(query)).getAll('beta').includes('true')) return;
  throw new DaypassError(
    'invalid_request',
    "Daypass does not serve this API's beta. Leave 'beta=true' out of the address: call client.responses, not client.beta.responses.",
    { param: 'beta' },
  );
}

/** What the visitor's program calls the request, for the log. Nothing where OpenAI would not take it either. */
export function clientRequestId(headers: IncomingHttpHeaders): { clientRequestId?: string } {
  const id = headers['x-client-request-id'];
  return typeof id === 'string' && CLIENT_REQUEST_ID.test(id) ? { clientRequestId: id } : {};
}

/** Which client sends a request, as far as its answer depends on it. */
export function clientOf({ originator }: IncomingHttpHeaders): Client {
  return { codex: typeof originator === 'string' && CODEX.test(originator) };
}
