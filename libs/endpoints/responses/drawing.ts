import { DaypassError } from '#libs/contracts/errors.js';
import type { CampaignTerms, Drawing, ImageQuality, Request } from '../endpoint.js';
import {
  answerBytesOf,
  outputTokensOf,
  PARTIAL_TOKENS,
  planTokensOf,
  sizeOf,
  USUAL_SIZE,
  type Size,
} from '../images/sizes.js';
import { isObject, type JsonObject } from '../json.js';
import { detailsOf, toolsIn } from './parts.js';
import { named, withoutTools } from './tools.js';
import { DRAWING_TOOL } from './tools.declaration.js';

const TOLD = 'tools.image_generation';
/** Dearest first. */
const QUALITIES: readonly ImageQuality[] = ['high', 'medium', 'low'];
/** Of an answer of this API (`response.body.ts`). A stream repeats each image at its end. */
const ANSWER_BYTES_MAX = 33_554_432;
const REPEATS = 2;

const isDrawing = (tool: unknown): tool is JsonObject => isObject(tool) && tool.type === DRAWING_TOOL;

/**
 * The request as its campaign lets it draw: the model, the size and the quality are set, dearest first. Without a model that
 * has a price the tool is left out, and told.
 * @throws DaypassError where the visitor wants nothing else, or wants what has no bound
 */
export function drawn(
  request: Request,
  { drawing: { models, max }, images: { quality } }: CampaignTerms,
): readonly Request[] {
  const json = request.body.json as JsonObject;
  const tools = toolsIn(json).flat().filter(isDrawing);
  if (tools.length === 0 && !named(json.tool_choice, isDrawing)) return [request];
  if (tools.length > 1) throw invalid('tools', 'A request has at most one image_generation tool.');
  const [tool = {}] = tools;
  const chosen = models.find(({ model }) => tool.model === undefined || tool.model === model);
  if (!chosen || tools.length === 0) {
    const without = withoutTools(request, isDrawing, TOLD);
    if (without) return [without];
    throw notPriced(
      tool.model,
      models.map(({ model }) => model),
    );
  }
  if (request.serviceTier !== 'default')
    throw new DaypassError(
      'unpriceable_request',
      `Nobody has told Daypass what an image costs under the service tier '${request.serviceTier}'. Leave '${request.params.tier}' out, or image_generation.`,
      { param: request.params.tier },
    );
  const { size: asked = 'auto', quality: wanted = 'auto' } = tool as { size?: string; quality?: string };
  const size = asked === 'auto' ? USUAL_SIZE : asked;
  const calls = Math.min((json.max_tool_calls as number | undefined) ?? max, max);
  const qualities = wanted === 'auto' ? QUALITIES.slice(QUALITIES.indexOf(quality)) : [wanted as ImageQuality];
  return qualities.map((one) => {
    const set = { model: chosen.model, size, quality: one };
    const told = Object.entries(set).flatMap(([name, value]) =>
      tool[name] === value ? [] : [`${TOLD}.${name}=${value}`],
    );
    const form = withTool(request, { ...tool, ...set });
    return withDrawings(
      {
        ...form,
        drawing: drawingOf(json, tool, { ...chosen, quality: one, size: pixelsOf(size) }),
        adjusted: [...request.adjusted, ...told],
      },
      // The search of the web has its own number, and both together are counted as one.
      request.searches ? undefined : calls,
      calls,
    );
  });
}

/** So many calls of its tools at most, of which each may draw. `set`: as the upstream is told; undefined: somebody else sets it. */
export function withDrawings(request: Request, set: number | undefined, calls = set ?? 0): Request {
  const { drawing } = request;
  if (!drawing) return request;
  const json = request.body.json as JsonObject;
  const answerBytes = Math.min(ANSWER_BYTES_MAX, calls * drawing.bytes);
  const isSet = set === undefined || json.max_tool_calls === set || request.adjusted.includes('max_tool_calls');
  return {
    ...request,
    ...(set === undefined ? {} : { body: { ...request.body, json: { ...json, max_tool_calls: set } } }),
    drawing: { ...drawing, calls },
    facts: { ...request.facts, imageCalls: calls, answerBytes },
    adjusted: isSet ? request.adjusted : [...request.adjusted, 'max_tool_calls'],
  };
}

function drawingOf(
  json: JsonObject,
  tool: JsonObject,
  {
    model,
    tokensPerImage,
    size,
    quality,
  }: { model: string; tokensPerImage?: number; size: Size; quality: ImageQuality },
): Drawing {
  const one = tokensPerImage ?? outputTokensOf(model, size, quality)!;
  const partials = (tool.partial_images as number | undefined) ?? 0;
  return {
    model,
    calls: 0,
    tokens: one + planTokensOf(model) + PARTIAL_TOKENS * partials,
    inputs: tool.action === 'generate' ? null : detailsOf(json.input as JsonObject[]).length,
    bytes: (json.stream === true ? partials + REPEATS : 1) * answerBytesOf(size),
  };
}

function withTool(request: Request, tool: JsonObject): Request {
  const json = request.body.json as JsonObject;
  const among = (tools: unknown): unknown => (tools as unknown[]).map((one) => (isDrawing(one) ? tool : one));
  const input = (json.input as JsonObject[]).map((item) =>
    Array.isArray(item.tools) && item.tools.some(isDrawing) ? { ...item, tools: among(item.tools) } : item,
  );
  const own = Array.isArray(json.tools) ? { tools: among(json.tools) } : {};
  return { ...request, body: { ...request.body, json: { ...json, ...own, input } } };
}

/** @throws DaypassError that names the tool's field */
function pixelsOf(size: string): Size {
  try {
    return sizeOf(size);
  } catch (error) {
    throw error instanceof DaypassError ? invalid('tools.size', error.message) : error;
  }
}

function notPriced(asked: unknown, models: readonly string[]): DaypassError {
  const what =
    models.length > 0
      ? `This key draws with ${models.map((model) => `'${model}'`).join(', ')}: name one of them, or none.`
      : 'No model of this key draws at a known price. Leave it out, or ask the operator to give the key a model of images.';
  const model = typeof asked === 'string' ? ` with the model '${asked}'` : '';
  return new DaypassError('unpriceable_request', `The cost of image_generation${model} has no bound here. ${what}`, {
    param: 'tools',
  });
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
