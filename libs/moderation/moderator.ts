import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';
import type { LanePacer } from '#libs/pacing/lane-pacer.js';
import { TickBatch } from '#libs/queues/tick-batch.js';
import type { Content } from './chat-contents.js';
import type { ModerationResult } from './verdict.js';

/** No verdict could be had in time; what happens then is the policy's to say. */
export class ModerationUnavailableError extends Error {
  constructor(
    reason: string,
    /** The endpoint refused this very input (4xx), rather than being away. */
    readonly refused = false,
  ) {
    super(`moderation is unavailable: ${reason}`);
    this.name = 'ModerationUnavailableError';
  }
}

export interface ModeratorOptions {
  client: OpenAI;
  model: string;
  pacer: LanePacer;
  /** How long one verdict may take in all, waiting and retries included. */
  timeoutMs: number;
  /** Told of every call's length in seconds and its end. */
  observe: (seconds: number, outcome: 'ok' | 'error') => void;
}

/** The largest batch is undocumented; up to 32 are known to be taken. */
const BATCH_TEXTS = 32;
/** A text beyond this is judged in overlapping pieces, so that nothing can hide at a cut. */
const PIECE_CHARACTERS = 8_000;
const OVERLAP_CHARACTERS = 200;
const ATTEMPTS = 3;
const WAITING_MAX = 20_000;

/** Asks the moderation endpoint: texts of all callers within a tick share a call, images go one by one. */
export class Moderator {
  private readonly texts: TickBatch<string, ModerationResult | ModerationUnavailableError>;
  private waiting = 0;

  constructor(private readonly options: ModeratorOptions) {
    this.texts = new TickBatch(BATCH_TEXTS, (texts) => this.askTexts(texts));
  }

  /**
   * One result for each piece of each content, in no particular order.
   * @throws ModerationUnavailableError
   */
  async judge(contents: readonly Content[]): Promise<ModerationResult[]> {
    if (this.waiting > WAITING_MAX) throw new ModerationUnavailableError('too much is waiting for a verdict');
    const asked = contents.flatMap((content) =>
      content.kind === 'text'
        ? piecesOf(content.text).map((piece) => this.texts.add(piece))
        : [this.ask([{ type: 'image_url', image_url: { url: content.url } }], 1, IMAGE_TOKENS).then((results) => results[0]!)],
    );
    this.waiting += asked.length;
    try {
      return (await Promise.all(asked)).map((result) => {
        if (result instanceof Error) throw result;
        return result;
      });
    } finally {
      this.waiting -= asked.length;
    }
  }

  /** A text that the endpoint refuses must not fail the calls of others that share its batch, so a refused batch is asked one by one. */
  private async askTexts(texts: string[]): Promise<(ModerationResult | ModerationUnavailableError)[]> {
    try {
      return await this.ask(texts, texts.length, estimateTokens(texts));
    } catch (error) {
      if (!(error instanceof ModerationUnavailableError) || !error.refused || texts.length === 1) throw error;
      return Promise.all(texts.map(async (text) => (await this.askTexts([text]).catch(asUnavailable))[0]!));
    }
  }

  private async ask(input: string[] | OpenAI.ModerationMultiModalInput[], expected: number, tokens: number): Promise<ModerationResult[]> {
    const { client, model, pacer, timeoutMs, observe } = this.options;
    const until = Date.now() + timeoutMs;
    let reason = 'no attempt was made';
    let refused = false;
    for (let attempt = 1; attempt <= ATTEMPTS && Date.now() < until; attempt++) {
      const begun = performance.now();
      try {
        await pacer.reserve(tokens, until - Date.now());
        const answer = await client.moderations.create({ model, input }, { maxRetries: 0, timeout: Math.max(1, until - Date.now()) });
        const results = answer.results as unknown as ModerationResult[];
        if (!Array.isArray(results) || results.length !== expected || !results.every(isResult)) {
          throw new Error(`${expected} inputs got ${Array.isArray(results) ? results.length : 'malformed'} results`);
        }
        observe((performance.now() - begun) / 1000, 'ok');
        return results;
      } catch (error) {
        observe((performance.now() - begun) / 1000, 'error');
        reason = error instanceof Error ? error.message : String(error);
        refused = error instanceof APIError && (error.status === 400 || error.status === 413);
        if (error instanceof APIError && error.status === 429) await pacer.freeze(retryAfterMs(error) ?? 1_000);
        else if (!isRetryable(error)) break;
        const pauseMs = 100 * 2 ** attempt * (0.5 + Math.random());
        if (Date.now() + pauseMs >= until) break;
        await sleep(pauseMs);
      }
    }
    throw new ModerationUnavailableError(reason, refused);
  }
}

function asUnavailable(error: unknown): ModerationUnavailableError[] {
  if (error instanceof ModerationUnavailableError) return [error];
  throw error;
}

const IMAGE_TOKENS = 1_000;

/** As the limits are counted: from characters, not by tokenizing (OpenAI, "Rate limits"). */
function estimateTokens(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Math.ceil(Buffer.byteLength(text) / 4), 0);
}

export function piecesOf(text: string): string[] {
  if (text.length <= PIECE_CHARACTERS) return text === '' ? [] : [text];
  const pieces: string[] = [];
  for (let start = 0; start < text.length; start += PIECE_CHARACTERS - OVERLAP_CHARACTERS) {
    pieces.push(text.slice(start, start + PIECE_CHARACTERS));
    if (start + PIECE_CHARACTERS >= text.length) break;
  }
  return pieces;
}

function isResult(value: unknown): value is ModerationResult {
  if (typeof value !== 'object' || value === null) return false;
  const { flagged, categories, category_scores: scores } = value as Record<string, unknown>;
  return typeof flagged === 'boolean' && typeof categories === 'object' && categories !== null && typeof scores === 'object' && scores !== null;
}

function isRetryable(error: unknown): boolean {
  if (!(error instanceof APIError)) return error instanceof Error && /results$/.test(error.message);
  return error.status === undefined || error.status >= 500 || error.status === 408;
}

/** `retry-after-ms`, else `retry-after` in seconds. */
export function retryAfterMs(error: APIError): number | undefined {
  const headers = error.headers;
  const ms = Number(headers?.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(ms) && ms > 0) return ms;
  const seconds = Number(headers?.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}
