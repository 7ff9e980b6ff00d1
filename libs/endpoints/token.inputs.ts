import { DaypassError } from '#libs/contracts/errors.js';
import type { CountingTools } from './endpoint.js';
import type { Json, JsonObject } from './json.js';

/** Inputs that are one text or several, or lists of tokens of the model's own encoding. */

/** Where the texts of tokens lie in a forwarded body. No visitor can send it, and no upstream gets it. */
export const DECODED = 'decoded';

type Tokens = readonly number[];

export const isOne = (input: unknown): boolean =>
  typeof input === 'string' || typeof (input as unknown[])[0] === 'number';

/** The inputs that are texts; null: they are tokens. */
export function textsOf(input: unknown): readonly string[] | null {
  if (typeof input === 'string') return [input];
  return typeof (input as unknown[])[0] === 'string' ? (input as string[]) : null;
}

export const listsOf = (input: unknown): readonly Tokens[] =>
  isOne(input) ? [input as number[]] : (input as number[][]);

/** All that a model will read of the field `name` of a forwarded body. */
export function readIn(json: Json, name: string): readonly string[] {
  const { [name]: input, [DECODED]: decoded } = json as JsonObject;
  const texts = (decoded as readonly string[] | undefined) ?? textsOf(input);
  if (!texts) throw new Error('nobody has decoded the tokens of this request');
  return texts;
}

/** @throws DaypassError where nobody can say what the tokens mean, so that nobody could judge them */
export async function decodedBy(
  tools: CountingTools,
  lists: readonly Tokens[],
  param: string,
): Promise<readonly string[]> {
  const decoded = (await tools.decodeTokens?.(lists)) ?? 'unknown encoding';
  const invalid = (message: string): DaypassError => new DaypassError('invalid_request', message, { param });
  switch (decoded) {
    case 'unknown encoding':
      throw invalid(`'${param}' must be strings: Daypass does not know how this model encodes tokens.`);
    case 'unknown token':
      throw invalid(
        `'${param}' holds a number that is no token of this model. Send strings, or encode them for this model.`,
      );
    case 'too long':
      throw invalid(`The tokens of '${param}' stand for too much text. Send fewer.`);
    default:
      return decoded;
  }
}
