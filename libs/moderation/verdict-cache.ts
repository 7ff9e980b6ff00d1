import { createHmac, type KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MODERATION_CATEGORIES } from '#libs/contracts/policy.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from '#libs/pacing/lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ModerationResult } from './verdict.js';

export interface VerdictCacheOptions {
  /** So that a dump of Redis does not tell who wrote what. */
  pepper: KeyObject;
  /** The cache keeps a verdict for one to two of these. */
  bucketMs?: number;
  /** The most verdicts of one bucket; two buckets are alive. */
  mostVerdicts?: number;
  /** The most verdicts of one bucket that one key brought. */
  mostOfKey?: number;
  nowMs?: () => number;
}

/** Whose call needs the verdict. The keys of one campaign share verdicts (docs/adr/0016). */
export type Asker = Pick<Ticket, 'campaignId' | 'keyId'>;

/** A text that needs a verdict. */
export interface Text {
  text: string;
  asker: Asker;
  /** As the lane counts tokens. */
  tokens: number;
  /** It never comes again, so that the cache neither looks it up nor keeps it. */
  passing: boolean;
}

/** The upstream that judges texts without a cached verdict, and what one call takes at most. */
interface AskLimits {
  upstream: LaneUpstream;
  mostTexts: number;
  mostTokens: number;
  mostCalls: number;
}

interface Found {
  /** One for each text; '' where it is `passing`. */
  hashes: string[];
  /** One for each text; undefined: the cache has no verdict on it. */
  cached: (ModerationResult | undefined)[];
  /** Calls that the lane has room for, each with so many of the texts without a verdict, in their order. */
  groups: number[];
}

/** A verdict for the cache. `hash`: of `find` or `hash`; '': the cache does not keep it. */
export interface Known {
  hash: string;
  verdict: ModerationResult;
  asker: Asker;
}

interface Kept {
  hash: string;
  verdict: string;
  keyId: string;
}

const BUCKET_MS = 30 * 60_000;
/** About 10 MB a bucket. */
const MOST_VERDICTS = 25_000;
/** A key that asks about ever new texts must leave room for all others. */
const MOST_OF_KEY = MOST_VERDICTS / 4;
const KEPT_AT_ONCE = 64;

/**
 * Keeps verdicts on texts for all processes, by model and campaign, so that a conversation costs only its newest
 * message. A known verdict comes sooner, so that another campaign's would tell what was asked there. It keeps the
 * endpoint's whole answer, because each policy reads it differently. Where Redis does not answer, or is full, it has no
 * verdict.
 */
export class VerdictCache {
  private readonly findScript: Script;
  private readonly keepScript: Script;
  private readonly kept = new TickBatch<Kept, void>(KEPT_AT_ONCE, (verdicts) => this.write(verdicts));
  private readonly bucketMs: number;
  private readonly mostVerdicts: number;
  private readonly mostOfKey: number;
  private readonly nowMs: () => number;

  constructor(
    redis: Redis,
    private readonly options: VerdictCacheOptions,
  ) {
    this.findScript = defineScript(redis, 'find-verdicts');
    this.keepScript = defineScript(redis, 'keep-verdicts');
    this.bucketMs = options.bucketMs ?? BUCKET_MS;
    this.mostVerdicts = options.mostVerdicts ?? MOST_VERDICTS;
    this.mostOfKey = options.mostOfKey ?? MOST_OF_KEY;
    this.nowMs = options.nowMs ?? Date.now;
  }

  /**
   * Looks texts up. A verdict that it finds in the older bucket it keeps for longer. With `limits` it reserves the lane
   * for the texts without a verdict.
   */
  async find(model: string, texts: readonly Text[], limits?: AskLimits): Promise<Found> {
    const hashes = texts.map(({ text, asker, passing }) => (passing ? '' : this.hash(model, asker, text)));
    const bucket = this.bucket();
    const upstreams = limits ? [limits.upstream] : [];
    const keys = [
      redisKeys.verdicts(String(bucket)),
      redisKeys.verdicts(String(bucket - 1)),
      ...upstreamKeys(upstreams),
    ];
    const bounds = [limits?.mostTexts ?? 0, limits?.mostTokens ?? 0, limits?.mostCalls ?? 0];
    const args = [texts.length, ...bounds, ...hashes, ...texts.map(({ tokens }) => tokens), ...upstreamArgs(upstreams)];
    try {
      const [verdicts, aging, groups] = (await this.findScript(keys, args)) as [string[], number[], number[]];
      this.later(
        hashes.flatMap((hash, index) =>
          aging[index] ? [{ hash, verdict: verdicts[index]!, keyId: texts[index]!.asker.keyId }] : [],
        ),
      );
      return { hashes, cached: verdicts.map(unpack), groups };
    } catch {
      return { hashes, cached: texts.map(() => undefined), groups: [] };
    }
  }

  keep(verdicts: readonly Known[]): void {
    this.later(
      verdicts.flatMap(({ hash, verdict, asker: { keyId } }) =>
        hash === '' ? [] : [{ hash, verdict: pack(verdict), keyId }],
      ),
    );
  }

  hash(model: string, { campaignId }: Pick<Asker, 'campaignId'>, text: string): string {
    return createHmac('sha256', this.options.pepper)
      .update(`${model}\0${campaignId}\0${text}`)
      .digest('base64url')
      .slice(0, 24);
  }

  private later(verdicts: readonly Kept[]): void {
    for (const verdict of verdicts) void this.kept.add(verdict).catch(() => undefined);
  }

  /** Writes the verdicts of one tick in one command. */
  private async write(verdicts: readonly Kept[]): Promise<void[]> {
    const bucket = String(this.bucket());
    await this.keepScript(
      [redisKeys.verdicts(bucket), redisKeys.verdictShares(bucket)],
      [
        2 * this.bucketMs,
        this.mostVerdicts,
        this.mostOfKey,
        ...verdicts.flatMap(({ hash, verdict, keyId }) => [hash, verdict, keyId]),
      ],
    );
    return verdicts.map(() => undefined);
  }

  private bucket(): number {
    return Math.floor(this.nowMs() / this.bucketMs);
  }
}

/** Writes scores in the order of the documented categories, and those of other categories by their names. */
function pack({ flagged, categories, category_scores: scores }: ModerationResult): string {
  const hit = Object.keys(categories).filter((name) => categories[name] === true);
  const documented = MODERATION_CATEGORIES.map((name) => scores[name] ?? null);
  const others = Object.fromEntries(
    Object.entries(scores).filter(([name]) => !(MODERATION_CATEGORIES as readonly string[]).includes(name)),
  );
  return JSON.stringify([flagged ? 1 : 0, hit, documented, ...(Object.keys(others).length > 0 ? [others] : [])]);
}

function unpack(text: string): ModerationResult | undefined {
  if (text === '') return undefined;
  const [flagged, hit, documented, others] = JSON.parse(text) as [
    number,
    string[],
    (number | null)[],
    Record<string, number>?,
  ];
  return {
    flagged: flagged === 1,
    categories: Object.fromEntries(hit.map((name) => [name, true])),
    category_scores: {
      ...Object.fromEntries(MODERATION_CATEGORIES.map((name, index) => [name, documented[index] ?? null])),
      ...others,
    },
  };
}

/** Merges the verdicts on all parts into one on the whole, which is no laxer than any of them. */
export function mergedResult(results: readonly ModerationResult[]): ModerationResult {
  const categories = Object.create(null) as Record<string, boolean>;
  const scores = Object.create(null) as Record<string, number>;
  for (const result of results) {
    for (const [name, flagged] of Object.entries(result.categories))
      categories[name] = categories[name] === true || flagged === true;
    for (const [name, score] of Object.entries(result.category_scores))
      if (score !== null) scores[name] = Math.max(score, scores[name] ?? 0);
  }
  return { flagged: results.some(({ flagged }) => flagged), categories, category_scores: scores };
}
