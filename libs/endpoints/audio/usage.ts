import type { Metered } from '#libs/money/cost.js';
import { isObject, type JsonObject } from '../json.js';
import { countIn } from '../usage.js';

/** Tokens of a transcript, as OpenAI reports them; null: it reported none. Sound that nobody details counts as sound. */
export function tokensOf(usage: unknown): Metered | null {
  if (!isObject(usage)) return null;
  const input = countIn(usage.input_tokens);
  const output = countIn(usage.output_tokens);
  if (input === null || output === null) return null;
  const details = isObject(usage.input_token_details) ? usage.input_token_details : {};
  const text = Math.min(countIn(details.text_tokens) ?? 0, input);
  return { input: text, audioInput: Math.max(countIn(details.audio_tokens) ?? 0, input - text), output };
}

/** Seconds that a transcript says it is of, rounded up as they are billed; null: it says nothing. */
export function secondsOf({ usage, duration }: JsonObject): number | null {
  return secondsIn(isObject(usage) ? usage.seconds : undefined) ?? secondsIn(duration);
}

function secondsIn(value: unknown): number | null {
  const seconds = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof seconds === 'number' && seconds > 0 && Number.isFinite(seconds) ? Math.ceil(seconds) : null;
}
