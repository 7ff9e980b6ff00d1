import type { HeldCalls } from '#libs/contracts/claims.js';
import type { ErrorBody } from '#libs/contracts/errors.js';
import type { HeldKey } from '#libs/contracts/held-key.js';
import { ask, faultOf, type Fault } from '../../shared/api.js';
import { StreamReader, type Heard } from './stream.js';
import { verdictsIn } from './texts.js';

export const MESSAGE_CHARACTERS_MAX = 32_000;
export const SYSTEM_CHARACTERS_MAX = 8_000;
/** Of all messages of one request. */
const CONVERSATION_CHARACTERS_MAX = 200_000;
export const TURNS_MAX = 50;
/** The page shows no longer answer, and hangs up. */
const ANSWER_CHARACTERS_MAX = 200_000;
/** The books hear of a call a moment after it ends. The page looks for it so often. */
const LOOKS_MS = [400, 800, 1_600, 3_200, 6_400, 12_800];

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: Message[];
  stream: true;
  stream_options: { include_usage: true };
  max_completion_tokens?: number;
}

/** What is known of one call. null: nobody knows it yet. */
export interface Facts {
  requestId: string | null;
  costUsd: string | null;
  leftUsd: string | null;
  waitedMs: number | null;
  verdicts: { input: string; output: string } | null;
  tokens: { in: number; out: number } | null;
}

/** `broken`: the connection ended before the answer did. */
export type Outcome = 'waiting' | 'running' | 'done' | 'stopped' | 'refused' | 'broken';

export interface Turn {
  id: number;
  request: ChatRequest;
  text: string;
  outcome: Outcome;
  /** How the model ended: `stop`, `length`, `content_filter`. */
  finish: string | null;
  /** Its place in the line, while it waits. */
  place: { position: number; etaMs: number } | null;
  facts: Facts;
  fault: Fault | null;
}

export interface Wish {
  model: string;
  system: string;
  maxTokens: number | null;
}

export const isOver = ({ outcome }: Turn): boolean => outcome !== 'waiting' && outcome !== 'running';
/** What its visitor asked. */
export const askedIn = ({ request }: Turn): string => request.messages.at(-1)!.content;
/** What was refused must not go out again with each later call: that would be one more refused input. */
const isSaid = ({ outcome, text }: Turn): boolean => outcome !== 'refused' && text !== '';

/** The next call of a conversation. */
export function requestOf({ model, system, maxTokens }: Wish, turns: readonly Turn[], asked: string): ChatRequest {
  const messages: Message[] = turns.filter(isSaid).flatMap((turn) => [
    { role: 'user', content: askedIn(turn) },
    { role: 'assistant', content: turn.text },
  ]);
  return {
    model,
    messages: [
      ...(system.trim() === '' ? [] : [{ role: 'system' as const, content: system }]),
      ...messages,
      { role: 'user', content: asked },
    ],
    stream: true,
    stream_options: { include_usage: true },
    ...(maxTokens === null ? {} : { max_completion_tokens: maxTokens }),
  };
}

/** Why a conversation cannot go on; null: it can. */
export function fullness(turns: readonly Turn[], { messages }: ChatRequest): string | null {
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  return turns.length >= TURNS_MAX || characters > CONVERSATION_CHARACTERS_MAX
    ? 'This conversation is as long as this page lets it be. Begin a new one.'
    : null;
}

export function newTurn(id: number, request: ChatRequest): Turn {
  const facts = { requestId: null, costUsd: null, leftUsd: null, waitedMs: null, verdicts: null, tokens: null };
  return { id, request, text: '', outcome: 'waiting', finish: null, place: null, facts, fault: null };
}

/** Hears of a turn as it goes on. `said`: what was added to its text. */
export type Tell = (turn: Turn, said: string) => void;

/** Sends a call, and tells of it until nothing more will be known. It never throws. `signal`: its visitor stops it. */
export async function runTurn(begun: Turn, key: string, signal: AbortSignal, tell: Tell): Promise<void> {
  let turn = begun;
  const put = (change: Partial<Turn>, said = ''): void => {
    turn = { ...turn, ...change };
    tell(turn, said);
  };
  // Also where the page itself hangs up.
  const hang = new AbortController();
  const stop = (): void => hang.abort();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  let response: Response | undefined;
  try {
    response = await fetch('/v1/chat/completions', {
      method: 'POST',
      credentials: 'omit',
      cache: 'no-store',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(turn.request),
      signal: hang.signal,
    });
    put({ facts: { ...turn.facts, ...factsIn(response.headers) } });
    if (!response.ok) {
      const { error } = (await response.json()) as Partial<ErrorBody>;
      put({ outcome: 'refused', fault: faultOf(response, error) });
      return;
    }
    for await (const heard of pieces(response)) {
      const next = heard.reduce((before, one) => after(before, one, response), turn);
      put(next, next.text.slice(turn.text.length));
      if (isOver(turn) && turn.outcome !== 'done') break;
    }
    if (!isOver(turn)) put({ outcome: turn.finish === null ? 'broken' : 'done', place: null });
  } catch {
    if (signal.aborted) put({ outcome: 'stopped', place: null });
    else if (!isOver(turn) && response?.ok === true) put({ outcome: 'broken', place: null });
    else if (!isOver(turn)) put({ outcome: 'refused', place: null, fault: faultOf(response, undefined) });
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
  await lookUp(turn, key, (facts) => put({ facts: { ...turn.facts, ...facts } }));
}

/** What is heard in each piece of a stream. */
async function* pieces({ body }: Response): AsyncGenerator<Heard[]> {
  const reader = new StreamReader();
  const decoder = new TextDecoder();
  const bytes = body!.getReader();
  for (;;) {
    const { done, value } = await bytes.read();
    if (done) return;
    yield reader.read(decoder.decode(value, { stream: true }));
  }
}

function after(turn: Turn, heard: Heard, response: Response | undefined): Turn {
  switch (heard.is) {
    case 'place':
      return { ...turn, place: heard };
    case 'text': {
      const text = (turn.text + heard.text).slice(0, ANSWER_CHARACTERS_MAX);
      const isWhole = text.length === turn.text.length + heard.text.length;
      const more = isWhole ? { outcome: 'running' as const } : { outcome: 'stopped' as const, finish: 'too_long' };
      return { ...turn, ...more, text, place: null };
    }
    case 'finish':
      return { ...turn, finish: heard.reason };
    case 'usage':
      return { ...turn, facts: { ...turn.facts, tokens: { in: heard.tokensIn, out: heard.tokensOut } } };
    case 'error':
      return {
        ...turn,
        outcome: turn.text === '' ? 'refused' : 'broken',
        place: null,
        fault: faultOf(response, heard.error),
      };
    case 'over':
      return { ...turn, outcome: 'done', place: null };
  }
}

function factsIn(headers: Headers): Partial<Facts> {
  const waited = headers.get('x-daypass-queue-ms');
  return {
    requestId: headers.get('x-request-id'),
    costUsd: headers.get('x-daypass-cost-usd'),
    leftUsd: headers.get('x-daypass-available-usd'),
    waitedMs: waited === null ? null : Number(waited),
    verdicts: verdictsIn(headers.get('x-daypass-moderation')),
  };
}

/** The headers of a stream come before its cost. The key's own list of calls has it a moment later. */
async function lookUp(
  { facts: { requestId } }: Turn,
  key: string,
  found: (facts: Partial<Facts>) => void,
): Promise<void> {
  if (requestId === null) return;
  for (const waitMs of LOOKS_MS) {
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    const calls = await ask<HeldCalls>('/v1/key/calls', { key, isWhole: true });
    const call = calls.ok ? calls.data.data.find(({ id }) => id === requestId) : undefined;
    if (call === undefined || call.cost_usd === null) continue;
    const held = await ask<HeldKey>('/v1/key', { key });
    const [input, output] = [call.input.at(-1), call.output.at(-1)];
    found({
      costUsd: call.cost_usd,
      ...(held.ok ? { leftUsd: held.data.available_usd } : {}),
      ...(call.waited_ms === null ? {} : { waitedMs: call.waited_ms }),
      ...(input === undefined || output === undefined ? {} : { verdicts: { input, output } }),
    });
    return;
  }
}
