import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';

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

interface Task {
  texts: readonly string[];
  text: number;
  position: number;
  count: number;
  resolve: (count: number) => void;
}

const waiting: Task[] = [];
let scheduled = false;

/** Tokens of all the texts together under o200k, counted in slices so that no visitor can stop the event loop. */
export async function countTextTokens(texts: readonly string[]): Promise<number> {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  if (characters <= INLINE_CHARACTERS && waiting.length === 0) {
    return texts.reduce((sum, text) => sum + countInline(text), 0);
  }
  return new Promise((resolve) => {
    waiting.push({ texts, text: 0, position: 0, count: 0, resolve });
    schedule();
  });
}

function countInline(text: string): number {
  let count = 0;
  for (let position = 0; position < text.length;) {
    const end = sliceEnd(text, position);
    count += countTokens(text.slice(position, end), AS_TEXT);
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
  task.count += countTokens(text.slice(task.position, end), AS_TEXT);
  task.position = end;
  return false;
}
