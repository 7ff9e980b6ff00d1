import type { ErrorBody } from '#libs/contracts/errors.js';

/** What one piece of a stream says. */
export type Heard =
  | { is: 'place'; position: number; etaMs: number }
  | { is: 'text'; text: string }
  /** How the answer ended: `stop`, `length`, `content_filter`. */
  | { is: 'finish'; reason: string }
  | { is: 'usage'; tokensIn: number; tokensOut: number }
  | { is: 'error'; error: ErrorBody['error'] }
  | { is: 'over' };

const PLACE = /^: queued position=(\d{1,9}) eta_ms=(\d{1,9})$/;
/** More is no event of a chat. */
const EVENT_CHARACTERS_MAX = 1_000_000;

/** Reads a streamed chat completion piece by piece. A piece may end anywhere. */
export class StreamReader {
  private rest = '';

  /** @throws where the stream is no stream of a chat completion */
  read(piece: string): Heard[] {
    const lines = (this.rest + piece).split('\n');
    this.rest = lines.pop()!;
    if (this.rest.length > EVENT_CHARACTERS_MAX) throw new Error('an event without an end');
    return lines.flatMap((line) => heardIn(line.replace(/\r$/, '')));
  }
}

interface Chunk {
  error?: ErrorBody['error'];
  choices?: { delta?: { content?: unknown; refusal?: unknown }; finish_reason?: unknown }[];
  usage?: { prompt_tokens?: unknown; completion_tokens?: unknown } | null;
}

function heardIn(line: string): Heard[] {
  const [, position, etaMs] = PLACE.exec(line) ?? [];
  if (position !== undefined) return [{ is: 'place', position: Number(position), etaMs: Number(etaMs) }];
  if (!line.startsWith('data: ')) return [];
  const data = line.slice(6);
  if (data === '[DONE]') return [{ is: 'over' }];
  const { error, choices = [], usage } = JSON.parse(data) as Chunk;
  if (error) return [{ is: 'error', error }];
  const heard: Heard[] = [];
  for (const { delta, finish_reason: reason } of choices) {
    for (const text of [delta?.content, delta?.refusal])
      if (typeof text === 'string' && text !== '') heard.push({ is: 'text', text });
    if (typeof reason === 'string') heard.push({ is: 'finish', reason });
  }
  if (usage)
    heard.push({ is: 'usage', tokensIn: Number(usage.prompt_tokens), tokensOut: Number(usage.completion_tokens) });
  return heard;
}
