import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';
import { LaneBusyError, type LanePacer } from '#libs/pacing/lane-pacer.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import type { Content } from '#libs/endpoints/content.js';
import { estimateTokens, sectionsOfAll } from './text-sections.js';
import { mergedResult, type Text, type VerdictCache } from './verdict-cache.js';
import { isResult, type ModerationResult } from './verdict.js';

/** The endpoint gave no verdict in time. The policy decides what follows. */
export class ModerationUnavailableError extends Error {
  constructor(
    reason: string,
    /** The endpoint will never take this input: it answered 4xx, or the input is larger than its whole limit. */
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
  /** Verdicts that any process got before. */
  cache: VerdictCache;
  /** How long one verdict may take in all, waiting and retries included. */
  timeoutMs: number;
  /** Called after each call to the endpoint. */
  observe: (seconds: number, outcome: 'ok' | 'error') => void;
  /** Called after each look-up: so many of the texts were in the cache. */
  observeCache: (cached: number, texts: number) => void;
}

/** OpenAI does not document the largest batch. The endpoint takes 32. */
const BATCH_TEXTS = 32;
const LOOK_TEXTS = 128;

/** One call takes only a part of the lane, so that a batch of long texts does not wait for a whole empty minute. */
const BATCH_TOKENS = 16_000;
const LANE_SHARE = 4;
const IN_FLIGHT_MAX = 64;
const ATTEMPTS = 3;
const WAITING_MAX = 20_000;

type Verdict = ModerationResult | ModerationUnavailableError;

/** Asks the moderation endpoint. Texts of one tick share a look-up in the cache, and calls; images go one by one. */
export class Moderator {
  /** Each text has a promise of its own: a cached verdict does not wait for the texts that the endpoint must judge. */
  private readonly texts = new TickBatch<Text, { verdict: Promise<Verdict> }>(LOOK_TEXTS, (texts) =>
    this.lookUp(texts),
  );
  private readonly batchTokens: number;
  private waiting = 0;
  private inFlight = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly options: ModeratorOptions) {
    const { tpm } = options.pacer.upstream;
    this.batchTokens = tpm > 0 ? Math.min(BATCH_TOKENS, Math.ceil(tpm / LANE_SHARE)) : BATCH_TOKENS;
  }

  /**
   * One result for each section of each content, in no particular order. `passing`: these contents never come again, so
   * that the cache does not serve them.
   * @throws ModerationUnavailableError
   */
  async results(contents: readonly Content[], passing = false): Promise<ModerationResult[]> {
    if (this.waiting > WAITING_MAX) throw new ModerationUnavailableError('too much is waiting for a verdict');
    const asked = [
      ...sectionsOfAll(contents).map(
        async (text) => (await this.texts.add({ text, tokens: estimateTokens(text), passing })).verdict,
      ),
      ...contents
        .flatMap((content) => (content.kind === 'image' ? [content.url.toWellFormed()] : []))
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

  /** Keeps one verdict for texts that the endpoint judged in other sections. */
  remember(contents: readonly Content[], results: readonly ModerationResult[]): void {
    const { cache, model } = this.options;
    const merged = mergedResult(results);
    const hashes = sectionsOfAll(contents).map((section) => cache.hash(model, section));
    cache.keep(
      hashes,
      hashes.map(() => merged),
    );
  }

  private async lookUp(texts: readonly Text[]): Promise<{ verdict: Promise<Verdict> }[]> {
    const { cache, model, pacer, observeCache } = this.options;
    const most = { mostTexts: BATCH_TEXTS, mostTokens: this.batchTokens };
    // While calls wait for the lane, none may overtake them.
    const limits = pacer.isWaitedFor
      ? undefined
      : { upstream: pacer.upstream, ...most, mostCalls: Math.max(0, IN_FLIGHT_MAX - this.inFlight) };
    const { hashes, cached, groups } = await cache.find(model, texts, limits);
    const lookedUp = texts.flatMap(({ passing }, index) => (passing ? [] : [cached[index]]));
    observeCache(lookedUp.filter((result) => result !== undefined).length, lookedUp.length);

    const verdicts = cached.map(
      (result): { verdict: Promise<Verdict> } | undefined => result && { verdict: Promise.resolve(result) },
    );
    const missing = texts.map((_, index) => index).filter((index) => !cached[index]);
    const ask = (indexes: readonly number[], reserved: boolean): void => {
      const asked = indexes.map((index) => texts[index]!);
      const itsHashes = indexes.map((index) => hashes[index]!);
      const results = this.askTexts(asked, reserved);
      results.then((all) => cache.keep(itsHashes, all.map(unlessError))).catch(() => undefined);
      for (const [at, index] of indexes.entries()) verdicts[index] = { verdict: results.then((all) => all[at]!) };
    };
    for (const size of groups) ask(missing.splice(0, size), true);
    for (const group of groupsOf(missing, (index) => texts[index]!.tokens, most)) ask(group, false);
    return verdicts as { verdict: Promise<Verdict> }[];
  }

  /**
   * Where the endpoint refuses a batch, asks about its texts one by one: one text must not fail the calls of others.
   */
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

  /** `reserved`: the look-up has reserved the lane for the first attempt. */
  private async ask(
    input: string[] | OpenAI.ModerationMultiModalInput[],
    expected: number,
    tokens: number,
    reserved = false,
  ): Promise<ModerationResult[]> {
    // A call that waits here goes out later than its reservation, and reserves again.
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
      const startedMs = performance.now();
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
        observe((performance.now() - startedMs) / 1000, 'ok');
        return results;
      } catch (error) {
        observe((performance.now() - startedMs) / 1000, 'error');
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

/** The endpoint's message may quote the content, so that the reason has only its status and code. */
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
  let freeTokens = 0;
  for (const item of items) {
    const tokens = tokensOf(item);
    if (tokens > freeTokens || (groups.at(-1)?.length ?? mostTexts) >= mostTexts) {
      groups.push([]);
      freeTokens = mostTokens;
    }
    groups.at(-1)!.push(item);
    freeTokens -= tokens;
  }
  return groups;
}

const IMAGE_TOKENS = 1_000;

function unlessError(verdict: Verdict): ModerationResult | undefined {
  return verdict instanceof Error ? undefined : verdict;
}

function isRetryable(error: unknown): boolean {
  // An answer without JSON, or with other JSON, may come from a gateway in between.
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
