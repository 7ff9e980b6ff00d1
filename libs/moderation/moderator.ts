import { setTimeout as sleep } from 'node:timers/promises';
import { APIError } from 'openai';
import { FairQueue } from '#libs/pacing/fair.queue.js';
import { LaneBusyError, type LanePacer } from '#libs/pacing/lane-pacer.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import type { Content } from '#libs/endpoints/content.js';
import { isTooLarge } from '#libs/endpoints/error-shapes.js';
import { isObject } from '#libs/endpoints/json.js';
import { estimateTokens, sectionsOfAll } from './text-sections.js';
import { mergedResult, type Asker, type Known, type Text, type VerdictCache } from './verdict-cache.js';
import { isResult, type ModerationResult } from './verdict.js';

/** The endpoint gave no verdict. The policy decides what follows, unless this input or this key is the cause. */
export class ModerationUnavailableError extends Error {
  constructor(
    reason: string,
    /**
     * The endpoint will never take this input: it said so, or the input is larger than its whole limit. Or the key has too
     * much waiting.
     */
    readonly refused = false,
    /** Refused only for now. */
    readonly retryAfterMs?: number,
  ) {
    super(`moderation is unavailable: ${reason}`);
    this.name = 'ModerationUnavailableError';
  }
}

/** What a call asks about: texts, or one image. */
type Input = string[] | [{ type: 'image_url'; image_url: { url: string } }];

/** Posts one question. Returns the answer's JSON. @throws APIError where the endpoint refuses it, or does not answer */
export type AskEndpoint = (request: { model: string; input: Input }, timeoutMs: number) => Promise<unknown>;

export interface ModeratorOptions {
  askEndpoint: AskEndpoint;
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
/** Texts. One key's count up to a quarter of all, and no further ones of it are taken then. */
const WAITING_MAX = 20_000;
const WAITING_OF_KEY_MAX = WAITING_MAX / 4;
const WAITING_RETRY_MS = 5_000;

/** The account and the network are not to blame for these answers: the input is. */
const REFUSALS = new Set([400, 413, 415, 422]);
/** Codes of an account without money, which some providers send with 400. */
const ACCOUNT_CODE = /quota|billing|spend_limit|credit/;

type Verdict = ModerationResult | ModerationUnavailableError;

/** What the endpoint said of the parts of a content. */
export interface Verdicts {
  /** Of the parts that it judged, in no particular order. */
  results: ModerationResult[];
  /** Why it judged not all parts. A refusal goes before a part that it could not answer for. */
  missing: ModerationUnavailableError | undefined;
}

/**
 * Asks the moderation endpoint. Keys take turns where calls to it wait. Texts of one tick share a look-up in the cache,
 * and calls; images go one by one.
 */
export class Moderator {
  /** Each text has a promise of its own: a cached verdict does not wait for the texts that the endpoint must judge. */
  private readonly texts = new TickBatch<Text, { verdict: Promise<Verdict> }>(LOOK_TEXTS, (texts) =>
    this.lookUp(texts),
  );
  private readonly batchTokens: number;
  private readonly waiting = new Map<string, number>();
  private inFlight = 0;
  private readonly queue = new FairQueue<() => void>();

  constructor(private readonly options: ModeratorOptions) {
    const { tpm } = options.pacer.upstream;
    this.batchTokens = tpm > 0 ? Math.min(BATCH_TOKENS, Math.ceil(tpm / LANE_SHARE)) : BATCH_TOKENS;
  }

  /**
   * Asks about each section of each content, and about each image. A part without a verdict does not hide the others.
   * `passing`: these contents never come again, so that the cache does not serve them.
   */
  async results(contents: readonly Content[], asker: Asker, passing = false): Promise<Verdicts> {
    const { keyId } = asker;
    if ((this.waiting.get(keyId) ?? 0) > WAITING_OF_KEY_MAX) {
      const reason = 'too much of this key is waiting for a verdict';
      return { results: [], missing: new ModerationUnavailableError(reason, true, WAITING_RETRY_MS) };
    }
    if (this.isTooMuchWaiting()) {
      return { results: [], missing: new ModerationUnavailableError('too much is waiting for a verdict') };
    }
    const asked = [
      ...sectionsOfAll(contents).map(
        async (text) => (await this.texts.add({ text, asker, tokens: estimateTokens(text), passing })).verdict,
      ),
      ...contents.flatMap((content) =>
        content.kind === 'image' ? [this.askImage(content.url.toWellFormed(), keyId)] : [],
      ),
    ];
    this.count(keyId, asked.length);
    try {
      const verdicts = await Promise.all(asked);
      const errors = verdicts.filter((verdict) => verdict instanceof ModerationUnavailableError);
      return {
        results: verdicts.flatMap((verdict) => unlessError(verdict) ?? []),
        missing: errors.find(({ refused }) => refused) ?? errors[0],
      };
    } finally {
      this.count(keyId, -asked.length);
    }
  }

  private count(keyId: string, change: number): void {
    const waiting = (this.waiting.get(keyId) ?? 0) + change;
    if (waiting > 0) this.waiting.set(keyId, waiting);
    else this.waiting.delete(keyId);
  }

  private isTooMuchWaiting(): boolean {
    let all = 0;
    for (const waiting of this.waiting.values()) all += Math.min(waiting, WAITING_OF_KEY_MAX);
    return all > WAITING_MAX;
  }

  /** Keeps one verdict for texts that the endpoint judged in other sections. */
  remember(contents: readonly Content[], results: readonly ModerationResult[], asker: Asker): void {
    const { cache, model } = this.options;
    const verdict = mergedResult(results);
    cache.keep(sectionsOfAll(contents).map((text) => ({ hash: cache.hash(model, asker, text), verdict, asker })));
  }

  private async askImage(url: string, keyId: string): Promise<Verdict> {
    if (url.length > IMAGE_CHARACTERS_MAX)
      return new ModerationUnavailableError('an image is larger than the endpoint takes', true);
    try {
      return (await this.ask([{ type: 'image_url', image_url: { url } }], 1, IMAGE_TOKENS, keyId))[0]!;
    } catch (error) {
      if (error instanceof ModerationUnavailableError) return error;
      throw error;
    }
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
      const results = this.askTexts(asked, reserved);
      const known = (all: readonly Verdict[]): Known[] =>
        indexes.flatMap((index, at) => {
          const verdict = unlessError(all[at]!);
          return verdict ? [{ hash: hashes[index]!, verdict, asker: texts[index]!.asker }] : [];
        });
      results.then((all) => cache.keep(known(all))).catch(() => undefined);
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
        rarestKeyOf(texts),
        reserved,
      );
    } catch (error) {
      if (!(error instanceof ModerationUnavailableError)) throw error;
      if (!error.refused || texts.length === 1) return texts.map(() => error);
      return (await Promise.all(texts.map((text) => this.askTexts([text])))).flat();
    }
  }

  /** `reserved`: the look-up has reserved the lane for the first attempt. `keyId`: whose turn it takes. */
  private async ask(
    input: Input,
    expected: number,
    tokens: number,
    keyId: string,
    reserved = false,
  ): Promise<ModerationResult[]> {
    // A call that waits here goes out later than its reservation, and reserves again.
    const inTime = this.inFlight < IN_FLIGHT_MAX;
    // Who ends hands its turn on.
    if (inTime) this.inFlight++;
    else await new Promise<void>((resolve) => this.queue.add(keyId, resolve));
    try {
      return await this.attempt(input, expected, tokens, keyId, reserved && inTime);
    } finally {
      const next = this.queue.take();
      if (next) next();
      else this.inFlight--;
    }
  }

  private async attempt(
    input: Input,
    expected: number,
    tokens: number,
    keyId: string,
    reserved: boolean,
  ): Promise<ModerationResult[]> {
    const { askEndpoint, model, pacer, timeoutMs, observe } = this.options;
    const until = Date.now() + timeoutMs;
    let reason = 'no attempt was made';
    let refused = false;
    for (let attempt = 1; attempt <= ATTEMPTS && Date.now() < until; attempt++) {
      const startedMs = performance.now();
      try {
        if (!reserved || attempt > 1) await pacer.reserve(tokens, until - Date.now(), keyId);
        const results = resultsIn(await askEndpoint({ model, input }, Math.max(1, until - Date.now())), expected);
        observe((performance.now() - startedMs) / 1000, 'ok');
        return results;
      } catch (error) {
        observe((performance.now() - startedMs) / 1000, 'error');
        reason = reasonOf(error);
        // No wait makes room for a batch above the whole limit, and other visitors' texts must not wait for it.
        const tooLarge = error instanceof APIError && error.status === 429 && isTooLarge(error.message);
        refused = tooLarge || isRefusal(error);
        if (tooLarge) break;
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

/** @throws where it is no answer to so many inputs */
function resultsIn(answer: unknown, expected: number): ModerationResult[] {
  const results: unknown = isObject(answer) ? answer.results : undefined;
  if (Array.isArray(results) && results.length === expected && results.every(isResult)) return results;
  throw new Error(`${expected} inputs got ${Array.isArray(results) ? results.length : 'malformed'} results`);
}

/** The endpoint's message may quote the content, so that the reason has only its status and code. */
function reasonOf(error: unknown): string {
  if (error instanceof APIError) return `${error.status ?? 'no answer'} ${error.code ?? error.name}`;
  return error instanceof Error ? error.message : String(error);
}

/** A call about texts of several keys goes in the turn of the key with the fewest. So that key waits for no other's. */
function rarestKeyOf(texts: readonly Text[]): string {
  const counts = new Map<string, number>();
  for (const { asker } of texts) counts.set(asker.keyId, (counts.get(asker.keyId) ?? 0) + 1);
  return [...counts].reduce((rarest, one) => (one[1] < rarest[1] ? one : rarest))[0];
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
/** 20 MB in base64, and the head of its data: URL (OpenAI, "Moderation"). */
const IMAGE_CHARACTERS_MAX = 26_666_800;

function unlessError(verdict: Verdict): ModerationResult | undefined {
  return verdict instanceof Error ? undefined : verdict;
}

/** Whether the endpoint refused the input itself. Anything else says only that the endpoint is away. */
function isRefusal(error: unknown): boolean {
  if (error instanceof LaneBusyError) return error.waitMs === Infinity;
  return error instanceof APIError && REFUSALS.has(Number(error.status)) && !ACCOUNT_CODE.test(error.code ?? '');
}

function isRetryable(error: unknown): boolean {
  // An answer without JSON, or with other JSON, may come from a gateway in between.
  if (!(error instanceof APIError)) return !(error instanceof LaneBusyError);
  return error.status === undefined || error.status >= 500 || error.status === 408;
}

/** No longer wait is believed, because a header may lie. */
const RETRY_AFTER_MAX_MS = 120_000;

/** `retry-after-ms`, else `retry-after` in seconds; two minutes at most. */
export function retryAfterMs(error: APIError): number | undefined {
  const headers = error.headers;
  const ms = Number(headers?.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(ms) && ms > 0) return Math.min(RETRY_AFTER_MAX_MS, ms);
  const seconds = Number(headers?.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(RETRY_AFTER_MAX_MS, seconds * 1000) : undefined;
}
