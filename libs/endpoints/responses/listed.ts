import type { JsonObject } from '../json.js';

/** An item of the input as OpenAI lists it: a message says so, and its text stands in a part. */
export function listed(item: JsonObject): JsonObject {
  const whole = item.type === undefined && item.role !== undefined ? { type: 'message', ...item } : item;
  if (whole.type !== 'message' || typeof whole.content !== 'string') return whole;
  const text = whole.content;
  const part =
    whole.role === 'assistant' ? { type: 'output_text', text, annotations: [] } : { type: 'input_text', text };
  return { ...whole, content: [part] };
}
