import { DaypassError } from '#libs/contracts/errors.js';
import type { UpstreamTraits } from '../endpoint.js';
import type { JsonObject } from '../json.js';
import { untagged } from './opaque.js';

/**
 * The items as one upstream gets them. It stores nothing, so it knows no ids. `dropped`: reasoning that it cannot read; the
 * calls and messages that followed from it stay.
 * @throws DaypassError `invalid_request` for a compaction that it cannot read
 */
export function itemsFor(
  items: readonly JsonObject[],
  upstream: Pick<UpstreamTraits, 'kind' | 'tag'>,
): { items: JsonObject[]; dropped: boolean } {
  let dropped = false;
  const sent = items.flatMap((item): JsonObject[] => {
    if (item.type === 'reasoning') {
      const own = reasoningFor(withoutId(item), upstream);
      dropped ||= own === null;
      return own ? [own] : [];
    }
    if (item.type !== 'compaction') return [withoutId(item)];
    return [{ ...withoutId(item), encrypted_content: compactionFor(item, upstream.tag) }];
  });
  return { items: sent, dropped };
}

/** As a model reads it. The output of a local shell has no other name of its call than its id. */
export function withoutId(item: JsonObject): JsonObject {
  if (item.id === undefined || (item.type === 'local_shell_call_output' && item.call_id === undefined)) return item;
  const { id: _, ...rest } = item;
  return rest;
}

/** null: there is nothing in it that this upstream reads. */
function reasoningFor(item: JsonObject, { kind, tag }: Pick<UpstreamTraits, 'kind' | 'tag'>): JsonObject | null {
  const { encrypted_content: encrypted, ...readable } = item;
  const content = typeof encrypted === 'string' && encrypted !== '' ? untagged(encrypted, tag) : null;
  if (content !== null) return { ...readable, encrypted_content: content };
  // Models that others serve read their reasoning itself again.
  return kind === 'compatible' && Array.isArray(item.content) && item.content.length > 0 ? readable : null;
}

function compactionFor({ encrypted_content: encrypted }: JsonObject, tag: string): string {
  const content = untagged(encrypted as string, tag);
  if (content !== null) return content;
  throw new DaypassError(
    'invalid_request',
    'Another upstream made the compaction in this input, and only that one can read it. Send the conversation without it.',
    { param: 'input' },
  );
}
