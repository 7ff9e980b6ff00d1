import { isObject, type JsonObject } from '../json.js';
import type { Shelved, ShelvedItem } from '../shelved.js';
import { eventOf, frameOf } from './frames.js';
import { itemId } from './item.ids.js';
import { listed } from './listed.js';
import type { Life } from './life.js';
import { mostTokensIn } from './opaque.js';

/** What a key may name later of a response, as it was shown. `reasoned`: the tokens that its upstream says it thought. */
export function shelvedOf(
  life: Life,
  response: JsonObject,
  shown: readonly JsonObject[],
  reasoned: number | undefined,
): Shelved {
  const { id, kept } = life;
  return {
    id,
    response: withoutImages(response),
    input: inputOf(life),
    output: outputOf(life, shown, reasoned),
    parent: kept.previousResponseId,
    conversation: kept.conversation,
  };
}

/** The items of the output have them: an image is large, and the shelf is not. */
function withoutImages(response: JsonObject): JsonObject {
  const { output } = response;
  if (!Array.isArray(output) || !output.some(isDrawn)) return response;
  return { ...response, output: output.map((item: unknown) => (isDrawn(item) ? { ...item, result: null } : item)) };
}

const isDrawn = (item: unknown): item is JsonObject => isObject(item) && item.type === 'image_generation_call';

/** The visitor's own items as they were forwarded, each as OpenAI lists it, with an id. */
function inputOf({ id, kept, sent }: Life): JsonObject[] {
  const { input } = sent;
  const items: unknown[] = Array.isArray(input) ? input.slice(kept.ownFrom) : [];
  const all = typeof input === 'string' ? [{ role: 'user', content: input }] : items.filter(isObject);
  return all.map((item, index) => {
    const whole = listed(item);
    return { ...whole, id: itemId(whole.type, `${id.slice(5)}_${index}`) };
  });
}

/**
 * What the next call reads. Its model refuses a call without an output, and thoughts that nothing follows: so a call that did
 * not end is left out, and with it the thoughts at the end.
 */
function outputOf({ encrypted }: Life, shown: readonly JsonObject[], reasoned: number | undefined): ShelvedItem[] {
  const whole = shown.filter(({ type, status }) => !(status === 'incomplete' && String(type).endsWith('_call')));
  while (whole.at(-1)?.type === 'reasoning') whole.pop();
  const thoughts = whole.filter(({ type, id }) => type === 'reasoning' && encrypted.has(id as string)).length;
  return whole.map((item) => {
    const content = encrypted.get(item.id as string);
    if (content === undefined) return { item };
    const kept = { ...item, encrypted_content: content };
    if (item.type !== 'reasoning' || reasoned === undefined) return { item: kept };
    // A call may name any of them alone, and nobody tells the tokens of each.
    return { item: kept, opaqueTokens: thoughts === 1 ? reasoned : Math.min(reasoned, mostTokensIn(content.length)) };
  });
}

/** The same whole answer, or the same frames, of a response that nobody keeps. */
export function unshelved(shown: string): string {
  if (shown.startsWith('{')) return JSON.stringify({ ...(JSON.parse(shown) as JsonObject), store: false });
  const frames = shown.split(/(?<=\n\n)/);
  return frames.map(unstored).join('');
}

function unstored(frame: string): string {
  if (!frame.startsWith('event: ')) return frame;
  const event = eventOf(frame);
  if (!isObject(event.response)) return frame;
  return frameOf({ ...event, response: { ...event.response, store: false } }, event.sequence_number as number);
}
