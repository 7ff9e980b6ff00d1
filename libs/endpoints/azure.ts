import type { UpstreamTraits } from './endpoint.js';
import type { JsonObject } from './json.js';

/** Older versions of Azure OpenAI know the visitor's stable identifier as `user` only. */
export function withUser(body: JsonObject, { kind, drops }: Pick<UpstreamTraits, 'kind' | 'drops'>): JsonObject {
  const isRenamed = kind === 'azure' && drops.includes('safety_identifier') && !drops.includes('user');
  return isRenamed ? { ...body, user: body.safety_identifier } : body;
}
