import { imageTokensOf } from '#libs/money/bound.js';
import type { Metered } from '#libs/money/cost.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import type { CountingTools, Drawing, Measured, Request } from '../endpoint.js';
import { INPUT_IMAGE_TOKENS, TEXT_TOKENS_OF_IMAGE } from '../images/sizes.js';
import { isObject, type JsonObject } from '../json.js';
import { mostTokensIn } from './opaque.js';
import { detailsOf, partsOf, toolsIn } from './parts.js';
import { BUILT_IN_TOOLS } from './tools.declaration.js';

/** Each item is wrapped in three or four tokens; its role or its type costs one or two. */
const ITEM_TOKENS = 6;
const PRIMING_TOKENS = 8;
/** Parts are wrapped, too. Nobody documents in how much, so this is a guess on the safe side. */
const PART_TOKENS = 2;
/** The provider's own words around each tool that it defines. An assumption: OpenAI names 466 to 683 for computers only. */
const BUILT_IN_TOOL_TOKENS = 1_000;

export async function measured(
  { body: { json }, model, opaqueTokens, searchCalls = 0, drawing }: Request,
  tools: CountingTools,
): Promise<Measured> {
  const body = json as JsonObject;
  const items = body.input as JsonObject[];
  const parts = partsOf(body);
  const counted = parts.flatMap(({ sight }) => sight.counted());
  const unread = parts.reduce(
    (sum, { sight, item }) => sum + opaqueOf(sight.opaqueCharacters, item && opaqueTokens?.get(item)),
    0,
  );
  const textTokens = await tools.countTokens(counted);
  const details = detailsOf(items);
  const imageTokens = details.length * imageTokensOf(model, details.includes('original'));
  const input = textTokens + unread + imageTokens + wrappersOf(items) + PRIMING_TOKENS;
  const base = withMargin(input) + builtInOf(body);
  const calls = Math.max(searchCalls, drawing?.calls ?? 0);
  const resultTokens = Math.max(tools.toolTokens, drawing ? imageTokensOf(model, false) : 0);
  const images = drawing ? imagesOf(drawing) : {};
  return {
    // A broken-off call tells no number of searches, nor of images: it pays for all, as it does their fees.
    estimate: { input: readOver(input, calls, resultTokens), ...images },
    most: { input: readOver(base, calls, resultTokens), ...images },
    // The model writes what is to be drawn, too.
    perCapToken: {
      output: 1,
      ...(calls > 0 ? { input: 1 + calls } : {}),
      ...(drawing ? { imageInput: drawing.calls } : {}),
    },
    pacedTokens: pacedTokensOf(counted, input, tools, imageTokens + unread),
    ...(drawing ? { pace: { images: drawing.calls } } : {}),
  };
}

/** What the model of images may use. It may read each image that came before, also those that it made itself. */
function imagesOf({ calls, tokens, inputs }: Drawing): Metered {
  const read = inputs === null ? 0 : calls * inputs + (calls * (calls - 1)) / 2;
  return { imageInput: INPUT_IMAGE_TOKENS * read + TEXT_TOKENS_OF_IMAGE * (calls + read), imageOutput: calls * tokens };
}

/**
 * After each search, and each image, the model reads everything again: what it was sent, what it wrote so far, and the results
 * of each one before. An assumption: the provider bills each of these passes in full.
 */
function readOver(input: number, calls: number, resultTokens: number): number {
  return (1 + calls) * input + resultTokens * ((calls * (calls + 1)) / 2);
}

/** `recorded`: as the provider counted it. */
function opaqueOf(characters: number, recorded: number | undefined): number {
  return characters === 0 ? 0 : (recorded ?? mostTokensIn(characters));
}

function wrappersOf(items: readonly JsonObject[]): number {
  const lengthOf = (value: unknown): number => (Array.isArray(value) ? value.length : 0);
  // The instructions are an item, too.
  return items.reduce(
    (sum, { content, output, summary }) =>
      sum + ITEM_TOKENS + (lengthOf(content) + lengthOf(output) + lengthOf(summary)) * PART_TOKENS,
    ITEM_TOKENS,
  );
}

function builtInOf(body: JsonObject): number {
  const isBuiltIn = (tool: unknown): boolean => isObject(tool) && BUILT_IN_TOOLS.includes(tool.type as string);
  return toolsIn(body).reduce((sum, tools) => sum + tools.filter(isBuiltIn).length * BUILT_IN_TOOL_TOKENS, 0);
}
