import { compile, type Compiled } from '../compile.js';
import { isObject, type JsonObject } from '../json.js';
import { RequestSight } from '../request.sight.js';
import { ITEM } from './items.declaration.js';
import { RESPONSES_REQUEST } from './request.declaration.js';
import { withoutId } from './sent.js';
import { TOOL } from './tools.declaration.js';

export const request = compile(RESPONSES_REQUEST);
const anItem = compile(ITEM);
const aTool = compile(TOOL);

/** What there is to read of a part of a request. `item`: of which item of the input. */
export interface Part {
  sight: RequestSight;
  item?: JsonObject;
}

/**
 * Each item, each tool and the instructions are a part of their own, and each part has a verdict of its own. So a later call
 * with the same part need not pay for its verdict, whichever visitor sends it.
 */
export function partsOf(body: JsonObject): Part[] {
  const parts: Part[] = [];
  for (const [name, value] of Object.entries(body)) {
    // No model reads its own name.
    if (name === 'model') continue;
    if (name === 'input') for (const item of value as JsonObject[]) addItem(parts, item);
    else if (name === 'tools') for (const tool of value as unknown[]) parts.push({ sight: definition(aTool, tool) });
    else parts.push({ sight: definition(request, { [name]: value }) });
  }
  return parts;
}

function addItem(parts: Part[], item: JsonObject): void {
  const { tools } = item;
  if (!Array.isArray(tools) || tools.length === 0) {
    const sight = new RequestSight(true);
    anItem.visit(withoutId(item), '', sight);
    parts.push({ sight, item });
    return;
  }
  // One part for each tool, and one for what stands beside them.
  const { tools: _, ...rest } = withoutId(item);
  parts.push({ sight: definition(anItem, { ...rest, tools: [] }), item });
  for (const tool of tools as unknown[]) parts.push({ sight: definition(aTool, tool), item });
}

/** A definition's words and punctuation are read, too. */
function definition(shape: Compiled, value: unknown): RequestSight {
  const sight = new RequestSight();
  shape.visit(value, '', sight);
  sight.readsAllOf(value);
  return sight;
}

/** How the model is to look at each image of the input, in their order. */
export function detailsOf(items: readonly JsonObject[]): unknown[] {
  const details: unknown[] = [];
  for (const { content, output, result } of items) {
    addDetails(details, content);
    addDetails(details, output);
    if (typeof result === 'string') details.push('auto');
  }
  return details;
}

function addDetails(details: unknown[], parts: unknown): void {
  if (Array.isArray(parts)) for (const part of parts) addDetails(details, part);
  else if (isObject(parts) && parts.image_url !== undefined) details.push(parts.detail);
}

/** The lists of tools that a request brings, its own and those of its items. */
export function toolsIn({ tools, input }: JsonObject): (readonly unknown[])[] {
  const lists: (readonly unknown[])[] = Array.isArray(tools) ? [tools] : [];
  for (const item of input as JsonObject[]) if (Array.isArray(item.tools)) lists.push(item.tools);
  return lists;
}
