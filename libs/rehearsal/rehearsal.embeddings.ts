import { countTextTokens, decodeTokens } from '#libs/money/tokens.js';
import type { Refusal } from './rehearsal.http.js';

/** What the rehearsal reads of a request for embeddings. */
export interface EmbeddingsBody {
  model?: string;
  input?: unknown;
  dimensions?: number | null;
  encoding_format?: string | null;
  user?: string;
  [parameter: string]: unknown;
}

/** What a test may set of one answer. */
export interface EmbeddingsOverride {
  refuse?: Refusal;
  /** The answer reports no usage, but costs all the same. */
  withoutUsage?: boolean;
  /** In whatever format the request asks for, as some servers do. */
  numbersOnly?: boolean;
  firstByteMs?: number;
  /** The connection breaks after so many vectors. */
  cutAfterVectors?: number;
  /** A whole answer to the letter. */
  raw?: string;
}

export interface EmbeddingsPlan {
  model: string;
  texts: readonly string[];
  tokens: number;
  dimensions: number;
  base64: boolean;
}

/** Of each model (OpenAI, "Vector embeddings"), the most and the default. */
const DIMENSIONS: Readonly<Record<string, number>> = { 'text-embedding-3-large': 3_072 };
const USUAL_DIMENSIONS = 1_536;
const INPUTS_MAX = 2_048;
const TOKENS_MAX = 300_000;
const TOKENS_OF_INPUT_MAX = 8_192;
const ENCODING = 'cl100k_base';

/** Reads a request as OpenAI does: its texts, or why it is refused. Tokens are decoded, so that they get the vector of their text. */
export async function planEmbeddings(body: EmbeddingsBody): Promise<EmbeddingsPlan | Refusal> {
  const { model = '', input, dimensions, encoding_format: format } = body;
  if (!model.includes('embed')) return refusal(403, 'You are not allowed to generate embeddings from this model');
  if (format !== undefined && format !== null && format !== 'float' && format !== 'base64')
    return refusal(400, "'encoding_format' must be 'float' or 'base64'.", 'encoding_format');
  const most = DIMENSIONS[model] ?? USUAL_DIMENSIONS;
  if (dimensions !== undefined && dimensions !== null && !(dimensions >= 1 && dimensions <= most))
    return refusal(400, `'dimensions' must be from 1 to ${most}.`, 'dimensions');
  const inputs = listOf(input);
  if (inputs === null || inputs.length === 0 || inputs.length > INPUTS_MAX || inputs.some(({ length }) => length === 0))
    return refusal(400, "'$.input' is invalid.", 'input');
  const isText = typeof inputs[0] === 'string';
  const texts = isText ? (inputs as string[]) : await decodeTokens(inputs as number[][], ENCODING);
  if (typeof texts === 'string') return refusal(400, `'$.input': ${texts}.`, 'input');
  let tokens = 0;
  for (const one of inputs) {
    const count = typeof one === 'string' ? await countTextTokens([one], ENCODING) : one.length;
    if (count > TOKENS_OF_INPUT_MAX)
      return refusal(
        400,
        `This model's maximum context length is ${TOKENS_OF_INPUT_MAX} tokens, however you requested ${count} tokens.`,
        null,
      );
    tokens += count;
  }
  if (tokens > TOKENS_MAX)
    return refusal(
      400,
      `Requested ${tokens} tokens, max ${TOKENS_MAX} tokens per request`,
      null,
      'max_tokens_per_request',
    );
  return { model, texts, tokens, dimensions: dimensions ?? most, base64: format === 'base64' };
}

/** A vector of length 1 for each text: the same text gets the same vector, and a shorter one is the longer one's beginning. */
export function vectorOf(text: string, dimensions: number): Float32Array {
  let state = 2_166_136_261;
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 16_777_619) >>> 0;
  state ||= 1;
  const numbers = new Float32Array(dimensions);
  let squares = 0;
  for (let at = 0; at < dimensions; at++) {
    // Marsaglia's xorshift.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const number = state / 2_147_483_648;
    numbers[at] = number;
    squares += number * number;
  }
  const length = Math.sqrt(squares) || 1;
  for (let at = 0; at < dimensions; at++) numbers[at]! /= length;
  return numbers;
}

/** The answer in parts, a vector each. */
export function* partsOf(
  plan: EmbeddingsPlan,
  { withoutUsage = false, numbersOnly = false }: EmbeddingsOverride,
): Generator<string> {
  const { model, texts, tokens, dimensions, base64 } = plan;
  yield '{"object":"list","data":[';
  for (const [index, text] of texts.entries()) {
    const vector = vectorOf(text, dimensions);
    const embedding =
      base64 && !numbersOnly ? `"${Buffer.from(vector.buffer).toString('base64')}"` : `[${vector.join(',')}]`;
    yield `${index === 0 ? '' : ','}{"object":"embedding","index":${index},"embedding":${embedding}}`;
  }
  const usage = withoutUsage ? '' : `,"usage":{"prompt_tokens":${tokens},"total_tokens":${tokens}}`;
  yield `],"model":${JSON.stringify(model)}${usage}}`;
}

/** null: neither strings nor tokens. */
function listOf(input: unknown): readonly (string | readonly number[])[] | null {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input)) return null;
  const isAll = (type: string): boolean => input.every((one) => typeof one === type);
  if (isAll('number')) return [input as number[]];
  return isAll('string') || input.every(Array.isArray) ? (input as string[] | number[][]) : null;
}

function refusal(status: number, message: string, param: string | null = null, code: string | null = null): Refusal {
  return { status, error: { message, param, code } };
}
