import { modelToEncodingMap } from 'gpt-tokenizer/mapping';
import * as modelCards from 'gpt-tokenizer/models';
import type { Encoding } from '#libs/contracts/jobs.js';

/** Fine-tuned models (`ft:gpt-4o-mini:org::id`), and names with OpenAI or Azure in front of a slash. */
const WRAPPED = /^(?:(?:openai|azure)\/)?(?:ft:)?([^:]+)/;
/** As tiktoken maps names by their beginning. OpenAI counts all of these by cl100k. */
const CL100K = /^(gpt-3\.?5|gpt-4|text-embedding-3|text-embedding-ada-002|davinci-002|babbage-002)($|-)/;
const O200K = /^(gpt-4o|gpt-4\.[15]|gpt-5(\.\d+)?|chatgpt-4o|gpt-oss|codex-mini|o[134])($|-)/;

/** The encoding of a model by its name. Only names that OpenAI gives to its models have a known one. */
export function encodingOf(model: string): Encoding {
  const name = WRAPPED.exec(model)?.[1] ?? model;
  if (CL100K.test(name)) return 'cl100k_base';
  if (O200K.test(name)) return 'o200k_base';
  const mapped = Object.hasOwn(modelToEncodingMap, name)
    ? (modelToEncodingMap as Record<string, string>)[name]
    : undefined;
  if (mapped === 'cl100k_base') return mapped;
  if (mapped !== undefined && !mapped.startsWith('o200k')) return 'bytes';
  // The package counts every model that OpenAI lists, and that has no other encoding, by o200k.
  return mapped !== undefined || Object.hasOwn(modelCards, name) ? 'o200k_base' : 'bytes';
}
