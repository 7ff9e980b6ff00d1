import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';
import { LaneBusyError, type LanePacer } from '#libs/pacing/lane-pacer.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import type { Content } from '#libs/endpoints/content.js';
import { mergedResult, type Text, type VerdictCache } from './verdict-cache.js';
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
const LOOK_TEXTS = 128;
/** A text beyond this is judged in overlapping pieces, so that nothing can hide at a cut. */
const PIECE_CHARACTERS = 8_000;
const OVERLAP_CHARACTERS = 200;
/** One call takes a part of the lane only, so that a full batch of long texts does not wait for a whole empty minute. */
const BATCH_TOKENS = 16_000;
const LANE_SHARE = 4;
const IN_FLIGHT_MAX = 64;
const ATTEMPTS = 3;
const WAITING_MAX = 20_000;

type Verdict = ModerationResult | ModerationUnavailableError;

/** Asks the moderation endpoint: texts of all callers within a tick are looked up, and share a call; images go one by one. */
export class Moderator {
  /** What is known comes at once, though others of the same tick are asked about; so each has a promise of its own. */
  private readonly texts = new TickBatch<Text, { verdict: Promise<Verdict> }>(LOOK_TEXTS, (texts) => this.look(texts));
  private readonly batchTokens: number;
  private waiting = 0;
  private inFlight = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly options: ModeratorOptions) {
    const { tpm } = options.pacer.upstream;
    this.batchTokens = tpm > 0 ? Math.min(BATCH_TOKENS, Math.ceil(tpm / LANE_SHARE)) : BATCH_TOKENS;
  }

  /**
   * One result for each piece of each content, in no particular order. `passing` contents never come again, so they are
   * neither looked up nor remembered.
   * @throws ModerationUnavailableError
   */
  async judge(contents: readonly Content[], passing = false): Promise<ModerationResult[]> {
    if (this.waiting > WAITING_MAX) throw new ModerationUnavailableError('too much is waiting for a verdict');
    const asked = [
      ...piecesOfAll(contents).map(
        async (text) => (await this.texts.add({ text, tokens: estimateTokens(text), passing })).verdict,
      ),
      ...contents
        .flatMap((content) => (content.kind === 'image' ? [content.url] : []))
        .map(async (url) => (await this.ask([{ type: 'image_url', image_url: { url } }], 1, IMAGE_TOKENS))[0]!),
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
    const { cache, model } = this.options;
    const merged = mergedResult(results);
    const hashes = piecesOfAll(contents).map((piece) => cache.hash(model, piece));
    cache.keep(
      hashes,
      hashes.map(() => merged),
    );
  }

  private async look(texts: readonly Text[]): Promise<{ verdict: Promise<Verdict> }[]> {
    const { cache, model, pacer, observeCache } = this.options;
    const most = { mostTexts: BATCH_TEXTS, mostTokens: this.batchTokens };
    // Nobody passes those that wait.
    const room = pacer.isWaitedFor
      ? undefined
      : { upstream: pacer.upstream, ...most, mostCalls: Math.max(0, IN_FLIGHT_MAX - this.inFlight) };
    const { hashes, known, groups } = await cache.find(model, texts, room);
    const lookedUp = texts.flatMap(({ passing }, index) => (passing ? [] : [known[index]]));
    observeCache(lookedUp.filter((result) => result !== undefined).length, lookedUp.length);

    const verdicts = known.map(
      (result): { verdict: Promise<Verdict> } | undefined => result && { verdict: Promise.resolve(result) },
    );
    const unknown = texts.map((_, index) => index).filter((index) => !known[index]);
    const ask = (indexes: readonly number[], reserved: boolean): void => {
      const asked = indexes.map((index) => texts[index]!);
      const itsHashes = indexes.map((index) => hashes[index]!);
      const results = this.askTexts(asked, reserved);
      results.then((all) => cache.keep(itsHashes, all.map(unlessError))).catch(() => undefined);
      for (const [place, index] of indexes.entries()) verdicts[index] = { verdict: results.then((all) => all[place]!) };
    };
    for (const size of groups) ask(unknown.splice(0, size), true);
    for (const group of groupsOf(unknown, (index) => texts[index]!.tokens, most)) ask(group, false);
    return verdicts as { verdict: Promise<Verdict> }[];
  }

  /** A text that the endpoint refuses must not fail the calls of others that share its batch, so a refused batch is asked one by one. */
  private async askTexts(texts: readonly Text[], reserved = false): Promise<Verdict[]> {
    try {
      return await this.ask(
        texts.map(({ text }) => text),
        texts.length,
        texts.reduce((sum, { tokens }) => sum + tokens, 0),
        reserved,
      );
    } catch (error) {
      if (!(error instanceof ModerationUnavailableError)) throw error;
      if (!error.refused || texts.length === 1) return texts.map(() => error);
      return (await Promise.all(texts.map((text) => this.askTexts([text])))).flat();
    }
  }

  /** `reserved`: the lane has room for its first attempt. */
  private async ask(
    input: string[] | OpenAI.ModerationMultiModalInput[],
    expected: number,
    tokens: number,
    reserved = false,
  ): Promise<ModerationResult[]> {
    // Who has to wait for that goes later than the room was for.
    const inTime = this.inFlight < IN_FLIGHT_MAX;
    while (this.inFlight >= IN_FLIGHT_MAX) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.inFlight++;
    try {
      return await this.attempt(input, expected, tokens, reserved && inTime);
    } finally {
      this.inFlight--;
      this.queue.shift()?.();
    }
  }

  private async attempt(
    input: string[] | OpenAI.ModerationMultiModalInput[],
    expected: number,
    tokens: number,
    reserved: boolean,
  ): Promise<ModerationResult[]> {
    const { client, model, pacer, timeoutMs, observe } = this.options;
    const until = Date.now() + timeoutMs;
    let reason = 'no attempt was made';
    let refused = false;
    for (let attempt = 1; attempt <= ATTEMPTS && Date.now() < until; attempt++) {
      const begun = performance.now();
      try {
        if (!reserved || attempt > 1) await pacer.reserve(tokens, until - Date.now());
        const answer = await client.moderations.create(
          { model, input },
          { maxRetries: 0, timeout: Math.max(1, until - Date.now()) },
        );
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
          (error instanceof APIError && (error.status === 400 || error.status === 413)) ||
          (error instanceof LaneBusyError && error.waitMs === Infinity);
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

function groupsOf<T>(
  items: readonly T[],
  tokensOf: (item: T) => number,
  { mostTexts, mostTokens }: { mostTexts: number; mostTokens: number },
): T[][] {
  const groups: T[][] = [];
  let room = 0;
  for (const item of items) {
    const tokens = tokensOf(item);
    if (tokens > room || (groups.at(-1)?.length ?? mostTexts) >= mostTexts) {
      groups.push([]);
      room = mostTokens;
    }
    groups.at(-1)!.push(item);
    room -= tokens;
  }
  return groups;
}

const IMAGE_TOKENS = 1_000;

/** As the limits are counted: from characters, not by tokenizing (OpenAI, "Rate limits"). */
function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4);
}

function unlessError(verdict: Verdict): ModerationResult | undefined {
  return verdict instanceof Error ? undefined : verdict;
}

function piecesOfAll(contents: readonly Content[]): string[] {
  return contents.flatMap((content) => (content.kind === 'text' ? piecesOf(content.text) : []));
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
