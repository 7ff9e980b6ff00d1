import type { JsonObject } from '../json.js';
import { refuseFile, textFileIn } from '../text.file.js';

/** Files whose name ends like this hold text. */
const EXTENSIONS = new Set(
  `txt text md markdown rst adoc tex log csv tsv json jsonl ndjson json5 xml yaml yml toml ini cfg conf env properties html
   htm css scss less js mjs cjs jsx ts mts cts tsx vue svelte py ipynb rb go rs java kt kts scala groovy swift c h cc cpp cxx
   hpp cs fs vb php pl pm lua r jl dart ex exs erl hs clj lisp ml sql graphql proto sh bash zsh fish ps1 bat cmd diff patch
   srt vtt ics vcf tf gradle cmake make mk dockerfile`.split(/\s+/),
);
const AS_TEXT = '.txt';

const extensionOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1).toLowerCase();

/**
 * A text file is sent as plain text, and its name says so: a provider may read a file as its name has it.
 * @throws DaypassError where neither its type nor its name says that it is text
 */
export function namedAsText(kept: JsonObject, sent: JsonObject, at: string): JsonObject {
  const name = kept.filename as string | undefined;
  const isSaid = textFileIn(sent.file_data as string)?.isSaid === true;
  if (!isSaid && !EXTENSIONS.has(extensionOf(name ?? ''))) refuseFile(`${at}.file_data`, sent.file_data);
  return name === undefined || name.endsWith(AS_TEXT) ? kept : { ...kept, filename: `${name}${AS_TEXT}` };
}
