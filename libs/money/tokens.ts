import { setImmediate as turn } from 'node:timers/promises';
import type { Encoding } from '#libs/contracts/jobs.js';

/**
 * Tokenizers take quadratic time on text without a break: 50,000 CJK characters take 15 s at once (measured with
 * gpt-tokenizer 4). In slices of so many characters the count is at most a few percent too high, which a bound may be.
 */
const SLICE_CHARACTERS = 256;
/** Counting for all requests together may take so long of one tick of the event loop. */
const TICK_MS = 3;
/** So short a text is counted at once: it takes less than a tick's time, whatever it holds. */
const INLINE_CHARACTERS = 1_024;
/** `<|endoftext|>` in a visitor's text is text, not an instruction; by default the tokenizer throws. */
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

type Count = (text: string) => number;

interface Table {
  count: Count;
  /** By token: its text, or its bytes where these are no text by themselves. */
  tokens: readonly (string | readonly number[])[];
}

/** Tokens may stand for many characters each. A longer text costs more work than a request may. */
const DECODED_CHARACTERS_MAX = 4_194_304;
/** Decoding so many tokens takes well below a tick's time. */
const DECODED_AT_ONCE = 4_096;

/** Tables block the event loop while they load. Measured: 110 ms and 21 MB for o200k, 45 ms and 8 MB for cl100k. */
const TABLES = {
  o200k_base: () =>
    Promise.all([import('gpt-tokenizer/encoding/o200k_base'), import('gpt-tokenizer/bpeRanks/o200k_base')]),
  cl100k_base: () =>
    Promise.all([import('gpt-tokenizer/encoding/cl100k_base'), import('gpt-tokenizer/bpeRanks/cl100k_base')]),
};
const loaded = new Map<Exclude<Encoding, 'bytes'>, Promise<Table>>();
const countBytes: Count = (text) => Buffer.byteLength(text);

/** Loads the tables, which otherwise the first count does. */
export function loadEncoding(encoding: keyof typeof TABLES): Promise<Table> {
  const before = loaded.get(encoding);
  if (before) return before;
  const table = load(encoding);
  loaded.set(encoding, table);
  return table;
}

async function load(encoding: keyof typeof TABLES): Promise<Table> {
  const [{ countTokens }, { default: tokens }] = await TABLES[encoding]();
  const count = (text: string): number => countTokens(text, AS_TEXT);
  count('warm');
  return { count, tokens };
}

async function counterOf(encoding: Encoding): Promise<Count> {
  return encoding === 'bytes' ? countBytes : (await loadEncoding(encoding)).count;
}

/** Why tokens have no text: an encoding that nobody knows, a token that stands for no text, or too much text. */
export type Undecodable = 'unknown encoding' | 'unknown token' | 'too long';

/**
 * The text of each list of tokens, decoded in steps. U+FFFD stands for bytes that are no character. gpt-tokenizer's own
 * decoder keeps such bytes, and puts them before the next text, which may be another visitor's.
 */
export async function decodeTokens(
  lists: readonly (readonly number[])[],
  encoding: Encoding,
): Promise<readonly string[] | Undecodable> {
  if (encoding === 'bytes') return 'unknown encoding';
  const table = await loadEncoding(encoding);
  const texts: string[] = [];
  let left = DECODED_CHARACTERS_MAX;
  let sinceTurn = 0;
  for (const tokens of lists) {
    const parts: string[] = [];
    let bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length > 0) parts.push(Buffer.from(bytes).toString('utf8'));
      bytes = [];
    };
    for (const token of tokens) {
      const part = table.tokens[token];
      if (part === undefined) return 'unknown token';
      left -= part.length;
      if (left < 0) return 'too long';
      if (typeof part === 'string') {
        flush();
        parts.push(part);
      } else bytes.push(...part);
      if (++sinceTurn < DECODED_AT_ONCE) continue;
      sinceTurn = 0;
      await turn();
    }
    flush();
    texts.push(parts.join(''));
  }
  return texts;
}

interface Task {
  countSlice: Count;
  texts: readonly string[];
  text: number;
  position: number;
  count: number;
  resolve: (count: number) => void;
}

const waiting: Task[] = [];
let scheduled = false;

/**
 * Tokens of all the texts together, counted in slices so that no visitor can stop the event loop. Under `bytes` their
 * bytes of UTF-8.
 */
export async function countTextTokens(texts: readonly string[], encoding: Encoding): Promise<number> {
  const countSlice = await counterOf(encoding);
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  if (characters <= INLINE_CHARACTERS && waiting.length === 0) {
    return texts.reduce((sum, text) => sum + countInline(text, countSlice), 0);
  }
  return new Promise((resolve) => {
    waiting.push({ countSlice, texts, text: 0, position: 0, count: 0, resolve });
    schedule();
  });
}

function countInline(text: string, countSlice: Count): number {
  let count = 0;
  for (let position = 0; position < text.length;) {
    const end = sliceEnd(text, position);
    count += countSlice(text.slice(position, end));
    position = end;
  }
  return count;
}

/** Never between the halves of a surrogate pair: each half alone would count as three bytes. */
function sliceEnd(text: string, position: number): number {
  const end = Math.min(position + SLICE_CHARACTERS, text.length);
  const last = text.charCodeAt(end - 1);
  return end < text.length && last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(countSlices);
}

function countSlices(): void {
  scheduled = false;
  const until = performance.now() + TICK_MS;
  while (waiting.length > 0 && performance.now() < until) {
    const task = waiting[0]!;
    if (step(task)) {
      waiting.shift();
      task.resolve(task.count);
    } else {
      // Round robin, so that a short text does not wait behind another visitor's long one.
      waiting.push(waiting.shift()!);
    }
  }
  if (waiting.length > 0) schedule();
}

/** Counts one slice of a task; true: the task is done. */
function step(task: Task): boolean {
  const text = task.texts[task.text];
  if (text === undefined) return true;
  if (task.position >= text.length) {
    task.text++;
    task.position = 0;
    return task.text >= task.texts.length;
  }
  const end = sliceEnd(text, task.position);
  task.count += task.countSlice(text.slice(task.position, end));
  task.position = end;
  return false;
}
