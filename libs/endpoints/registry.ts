import { CHAT } from './chat/chat.endpoint.js';
import { AUDIO } from './audio/audio.endpoints.js';
import { COMPLETIONS } from './completions/completions.endpoint.js';
import { EMBEDDINGS } from './embeddings/embeddings.endpoint.js';
import type { Endpoint } from './endpoint.js';
import { IMAGES } from './images/images.endpoint.js';
import { COMPACT } from './responses/compact.endpoint.js';
import { RESPONSES } from './responses/responses.endpoint.js';

/** Every API that Daypass serves: a row each. The first is what tickets and records without a name are about. */
export const ENDPOINTS: readonly Endpoint[] = [CHAT, RESPONSES, COMPACT, EMBEDDINGS, COMPLETIONS, ...IMAGES, ...AUDIO];

/** As tickets and records name it: the first row has no name there, so that those of the version before are read as before. */
export function nameOf(endpoint: Endpoint): { endpoint?: string } {
  return endpoint === CHAT ? {} : { endpoint: endpoint.name };
}

/** What tickets, holds and records say of their API. */
interface Named {
  endpoint?: string | undefined;
}

/** undefined: no row has this name, because a newer version wrote it. */
export function knownEndpoint({ endpoint }: Named): Endpoint | undefined {
  return endpoint === undefined ? CHAT : ENDPOINTS.find(({ name }) => name === endpoint);
}

/** The label of a metric: a row's name, or `unknown`. Nothing else comes in. */
export function endpointLabel(named: Named): string {
  return knownEndpoint(named)?.name ?? 'unknown';
}

/** @throws where no row has this name */
export function endpointOf(named: Named): Endpoint {
  const found = knownEndpoint(named);
  if (!found) throw new Error(`this version serves no API called '${named.endpoint}'`);
  return found;
}
