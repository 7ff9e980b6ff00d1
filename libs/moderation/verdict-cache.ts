import { createHmac, type KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import { MODERATION_CATEGORIES } from '#libs/contracts/policy.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from '#libs/pacing/lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ModerationResult } from './verdict.js';

export interface VerdictCacheOptions {
  /** So that a dump of Redis does not tell who wrote what. */
  pepper: KeyObject;
  /** A verdict is remembered for one to two of these. */
  bucketMs?: number;
  /** Of one bucket; two are alive. */
  mostVerdicts?: number;
  nowMs?: () => number;
}

/** A text that needs a verdict. */
export interface Text {
  text: string;
  /** As the lane counts them. */
  tokens: number;
  /** It never comes again, so it is neither looked up nor remembered. */
  passing: boolean;
}

/** Where texts that nobody knows are asked about, and what one call takes at most. */
export interface Room {
  upstream: LaneUpstream;
  mostTexts: number;
  mostTokens: number;
  mostCalls: number;
}

export interface Found {
  /** One for each text; '' for passing ones. */
  hashes: string[];
  /** One for each text. */
  known: (ModerationResult | undefined)[];
  /** Calls that have room, each for so many of the unknown texts, in their order; the others have none yet. */
  groups: number[];
}

interface Kept {
  hash: string;
  verdict: string;
}

const BUCKET_MS = 30 * 60_000;
/** About 10 MB a bucket. */
const MOST_VERDICTS = 25_000;
const KEPT_AT_ONCE = 64;

/**
 * Verdicts on texts that were judged before under the same model, for all processes: a conversation costs its new turn
 * only. The endpoint's whole answer is kept, because each policy reads it differently. Never in the way: a Redis that does
 * not answer, or has no room, knows nothing.
 */
export class VerdictCache {
  private readonly findScript: Script;
  private readonly keepScript: Script;
  private readonly kept = new TickBatch<Kept, void>(KEPT_AT_ONCE, (verdicts) => this.write(verdicts));
  private readonly bucketMs: number;
  private readonly mostVerdicts: number;
  private readonly nowMs: () => number;

  constructor(
    redis: Redis,
    private readonly options: VerdictCacheOptions,
  ) {
    this.findScript = defineScript(redis, 'find-verdicts');
    this.keepScript = defineScript(redis, 'keep-verdicts');
    this.bucketMs = options.bucketMs ?? BUCKET_MS;
    this.mostVerdicts = options.mostVerdicts ?? MOST_VERDICTS;
    this.nowMs = options.nowMs ?? Date.now;
  }

  /** What is known of some texts. What is known from the bucket before is remembered for longer. With `room`, what is not known has it reserved. */
  async find(model: string, texts: readonly Text[], room?: Room): Promise<Found> {
    const hashes = texts.map(({ text, passing }) => (passing ? '' : this.hash(model, text)));
    const bucket = this.bucket();
    const upstreams = room ? [room.upstream] : [];
    const keys = [
      redisKeys.verdicts(String(bucket)),
      redisKeys.verdicts(String(bucket - 1)),
      ...upstreamKeys(upstreams),
    ];
    const limits = [room?.mostTexts ?? 0, room?.mostTokens ?? 0, room?.mostCalls ?? 0];
    const args = [texts.length, ...limits, ...hashes, ...texts.map(({ tokens }) => tokens), ...upstreamArgs(upstreams)];
    try {
      const [verdicts, aging, groups] = (await this.findScript(keys, args)) as [string[], number[], number[]];
      this.later(hashes.flatMap((hash, index) => (aging[index] ? [{ hash, verdict: verdicts[index]! }] : [])));
      return { hashes, known: verdicts.map(unpack), groups };
    } catch {
      return { hashes, known: texts.map(() => undefined), groups: [] };
    }
  }

  /** `hashes`: as `find` gave them, or `hash`; what has none, or no result, is not kept. */
  keep(hashes: readonly string[], results: readonly (ModerationResult | undefined)[]): void {
    this.later(
      hashes.flatMap((hash, index) =>
        hash === '' || !results[index] ? [] : [{ hash, verdict: pack(results[index]) }],
      ),
    );
  }

  hash(model: string, text: string): string {
    return createHmac('sha256', this.options.pepper)
      .update(model)
      .update('\0')
      .update(text)
      .digest('base64url')
      .slice(0, 24);
  }

  private later(verdicts: readonly Kept[]): void {
    for (const verdict of verdicts) void this.kept.add(verdict).catch(() => undefined);
  }

  /** Those of one tick in one command. */
  private async write(verdicts: readonly Kept[]): Promise<void[]> {
    const fields = verdicts.flatMap(({ hash, verdict }) => [hash, verdict]);
    await this.keepScript(
      [redisKeys.verdicts(String(this.bucket()))],
      [2 * this.bucketMs, this.mostVerdicts, ...fields],
    );
    return verdicts.map(() => undefined);
  }

  private bucket(): number {
    return Math.floor(this.nowMs() / this.bucketMs);
  }
}

/** Scores in the order of the known categories; whatever else the endpoint says beside them is kept by its name. */
function pack({ flagged, categories, category_scores: scores }: ModerationResult): string {
  const hit = Object.keys(categories).filter((name) => categories[name] === true);
  const known = MODERATION_CATEGORIES.map((name) => scores[name] ?? null);
  const others = Object.fromEntries(
    Object.entries(scores).filter(([name]) => !(MODERATION_CATEGORIES as readonly string[]).includes(name)),
  );
  return JSON.stringify([flagged ? 1 : 0, hit, known, ...(Object.keys(others).length > 0 ? [others] : [])]);
}

function unpack(text: string): ModerationResult | undefined {
  if (text === '') return undefined;
  const [flagged, hit, known, others] = JSON.parse(text) as [
    number,
    string[],
    (number | null)[],
    Record<string, number>?,
  ];
  return {
    flagged: flagged === 1,
    categories: Object.fromEntries(hit.map((name) => [name, true])),
    category_scores: {
      ...Object.fromEntries(MODERATION_CATEGORIES.map((name, index) => [name, known[index] ?? null])),
      ...others,
    },
  };
}

/** What judges of parts said, as one verdict on the whole: no laxer than any of them. */
export function mergedResult(results: readonly ModerationResult[]): ModerationResult {
  const categories: Record<string, boolean> = {};
  const scores: Record<string, number> = {};
  for (const result of results) {
    for (const [name, flagged] of Object.entries(result.categories))
      categories[name] = categories[name] === true || flagged === true;
    for (const [name, score] of Object.entries(result.category_scores))
      if (score !== null) scores[name] = Math.max(score, scores[name] ?? 0);
  }
  return { flagged: results.some(({ flagged }) => flagged), categories, category_scores: scores };
}
