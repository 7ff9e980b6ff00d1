import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';
import { LaneBusyError, type LanePacer } from '#libs/pacing/lane-pacer.js';
import { TickBatch } from '#libs/queues/tick-batch.js';
import type { Content } from './chat-contents.js';
import { mergedResult, type VerdictCache } from './verdict-cache.js';
import { isResult, type ModerationResult } from './verdict.js';

/** No verdict could be had in time; what happens then is the policy's to say. */
export class ModerationUnavailableError extends Error {
  constructor(
    reason: string,
    /** The endpoint will never take this very input (4xx, or larger than its whole limit), rather than being away. */
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
  /** What was judged before, by any process. */
  cache: VerdictCache;
  /** How long one verdict may take in all, waiting and retries included. */
  timeoutMs: number;
  /** Told of every call's length in seconds and its end. */
  observe: (seconds: number, outcome: 'ok' | 'error') => void;
  /** Told how many of some texts were judged before. */
  observeCache: (known: number, texts: number) => void;
}

/** The largest batch is undocumented; up to 32 are known to be taken. */
const BATCH_TEXTS = 32;
/** A text beyond this is judged in overlapping pieces, so that nothing can hide at a cut. */
const PIECE_CHARACTERS = 8_000;
const OVERLAP_CHARACTERS = 200;
/** One call takes a part of the lane only, so that a full batch of long texts does not wait for a whole empty minute. */
const BATCH_TOKENS = 16_000;
const LANE_SHARE = 4;
const IN_FLIGHT_MAX = 64;
const ATTEMPTS = 3;
const WAITING_MAX = 20_000;

/** Asks the moderation endpoint: texts of all callers within a tick share a call, images go one by one. */
export class Moderator {
  private readonly texts: TickBatch<string, ModerationResult | ModerationUnavailableError>;
  private readonly batchTokens: number;
  private waiting = 0;
  private inFlight = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly options: ModeratorOptions) {
    const { tpm } = options.pacer.upstream;
    this.batchTokens = tpm > 0 ? Math.min(BATCH_TOKENS, Math.ceil(tpm / LANE_SHARE)) : BATCH_TOKENS;
    this.texts = new TickBatch(BATCH_TEXTS, async (texts) =>
      (await Promise.all(groupsOf(texts, this.batchTokens).map((group) => this.askTexts(group)))).flat(),
    );
  }

  /**
   * One result for each piece of each content, in no particular order. `passing` contents never come again, so they are
   * neither looked up nor remembered.
   * @throws ModerationUnavailableError
   */
  async judge(contents: readonly Content[], passing = false): Promise<ModerationResult[]> {
    if (this.waiting > WAITING_MAX) throw new ModerationUnavailableError('too much is waiting for a verdict');
    const pieces = contents.flatMap((content) => (content.kind === 'text' ? piecesOf(content.text) : []));
    const images = contents.flatMap((content) => (content.kind === 'image' ? [content.url] : []));
    const asked = [
      ...(passing ? pieces.map((piece) => this.texts.add(piece)) : await this.knownOrAsked(pieces)),
      ...images.map(async (url) => (await this.ask([{ type: 'image_url', image_url: { url } }], 1, IMAGE_TOKENS))[0]!),
    ];
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

  /** The verdict on texts that were judged in other parts: it is theirs together. */
  remember(contents: readonly Content[], results: readonly ModerationResult[]): void {
    const merged = mergedResult(results);
    const pieces = contents.flatMap((content) => (content.kind === 'text' ? piecesOf(content.text) : []));
    this.options.cache.keep(
      this.options.model,
      pieces,
      pieces.map(() => merged),
    );
  }

  private async knownOrAsked(pieces: readonly string[]): Promise<Promise<ModerationResult | ModerationUnavailableError>[]> {
    const { cache, model, observeCache } = this.options;
    const known = await cache.find(model, pieces);
    observeCache(known.filter((result) => result !== undefined).length, pieces.length);
    return pieces.map((piece, index) => this.askUnlessKnown(piece, known[index]));
  }

  private async askUnlessKnown(piece: string, known: ModerationResult | undefined): Promise<ModerationResult | ModerationUnavailableError> {
    if (known) return known;
    const result = await this.texts.add(piece);
    if (!(result instanceof Error)) this.options.cache.keep(this.options.model, [piece], [result]);
    return result;
  }

  /** A text that the endpoint refuses must not fail the calls of others that share its batch, so a refused batch is asked one by one. */
  private async askTexts(texts: string[]): Promise<(ModerationResult | ModerationUnavailableError)[]> {
    try {
      return await this.ask(texts, texts.length, estimateTokens(texts));
    } catch (error) {
      if (!(error instanceof ModerationUnavailableError)) throw error;
      if (!error.refused || texts.length === 1) return texts.map(() => error);
      return (await Promise.all(texts.map((text) => this.askTexts([text])))).flat();
    }
  }

  private async ask(input: string[] | OpenAI.ModerationMultiModalInput[], expected: number, tokens: number): Promise<ModerationResult[]> {
    while (this.inFlight >= IN_FLIGHT_MAX) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.inFlight++;
    try {
      return await this.attempt(input, expected, tokens);
    } finally {
      this.inFlight--;
      this.queue.shift()?.();
    }
  }

  private async attempt(input: string[] | OpenAI.ModerationMultiModalInput[], expected: number, tokens: number): Promise<ModerationResult[]> {
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
        reason = reasonOf(error);
        refused =
          (error instanceof APIError && (error.status === 400 || error.status === 413)) || (error instanceof LaneBusyError && error.waitMs === Infinity);
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

/** An endpoint's message may quote what it was asked, so only its status and code are told. */
function reasonOf(error: unknown): string {
  if (error instanceof APIError) return `${error.status ?? 'no answer'} ${error.code ?? error.name}`;
  return error instanceof Error ? error.message : String(error);
}

function groupsOf(texts: readonly string[], mostTokens: number): string[][] {
  const groups: string[][] = [];
  let room = 0;
  for (const text of texts) {
    const tokens = estimateTokens([text]);
    if (tokens > room || groups.length === 0) {
      groups.push([]);
      room = mostTokens;
    }
    groups.at(-1)!.push(text);
    room -= tokens;
  }
  return groups;
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

function isRetryable(error: unknown): boolean {
  // No JSON, or not what was asked for: a gateway in between may have answered.
  if (!(error instanceof APIError)) return !(error instanceof LaneBusyError);
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
