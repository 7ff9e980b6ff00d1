import { createHmac, type KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import { MODERATION_CATEGORIES } from '#libs/contracts/policy.js';
import { TickBatch } from '#libs/queues/tick-batch.js';
import { redisKeys } from '#libs/redis/keys.js';
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
  private readonly script: Script;
  private readonly kept = new TickBatch<Kept, void>(KEPT_AT_ONCE, (verdicts) => this.write(verdicts));
  private readonly bucketMs: number;
  private readonly mostVerdicts: number;
  private readonly nowMs: () => number;

  constructor(
    private readonly redis: Redis,
    private readonly options: VerdictCacheOptions,
  ) {
    this.script = defineScript(redis, 'keep-verdicts');
    this.bucketMs = options.bucketMs ?? BUCKET_MS;
    this.mostVerdicts = options.mostVerdicts ?? MOST_VERDICTS;
    this.nowMs = options.nowMs ?? Date.now;
  }

  /** One for each text; undefined where it is not known. What is known from the bucket before is remembered for longer. */
  async find(model: string, texts: readonly string[]): Promise<(ModerationResult | undefined)[]> {
    if (texts.length === 0) return [];
    const hashes = texts.map((text) => this.hash(model, text));
    const bucket = this.bucket();
    try {
      const [fresh, former] = await Promise.all([
        this.redis.hmget(redisKeys.verdicts(String(bucket)), ...hashes),
        this.redis.hmget(redisKeys.verdicts(String(bucket - 1)), ...hashes),
      ]);
      const aging = hashes.flatMap((hash, index) => (!fresh[index] && former[index] ? [{ hash, verdict: former[index] }] : []));
      this.later(aging);
      return hashes.map((_, index) => unpack(fresh[index] ?? former[index] ?? null));
    } catch {
      return texts.map(() => undefined);
    }
  }

  keep(model: string, texts: readonly string[], results: readonly ModerationResult[]): void {
    this.later(texts.map((text, index) => ({ hash: this.hash(model, text), verdict: pack(results[index]!) })));
  }

  private later(verdicts: readonly Kept[]): void {
    for (const verdict of verdicts) void this.kept.add(verdict).catch(() => undefined);
  }

  /** Those of one tick in one command. */
  private async write(verdicts: readonly Kept[]): Promise<void[]> {
    const fields = verdicts.flatMap(({ hash, verdict }) => [hash, verdict]);
    await this.script([redisKeys.verdicts(String(this.bucket()))], [2 * this.bucketMs, this.mostVerdicts, ...fields]);
    return verdicts.map(() => undefined);
  }

  private bucket(): number {
    return Math.floor(this.nowMs() / this.bucketMs);
  }

  private hash(model: string, text: string): string {
    return createHmac('sha256', this.options.pepper).update(model).update('\0').update(text).digest('base64url').slice(0, 24);
  }
}

/** Scores in the order of the known categories; whatever else the endpoint says beside them is kept by its name. */
function pack({ flagged, categories, category_scores: scores }: ModerationResult): string {
  const hit = Object.keys(categories).filter((name) => categories[name] === true);
  const known = MODERATION_CATEGORIES.map((name) => scores[name] ?? null);
  const others = Object.fromEntries(Object.entries(scores).filter(([name]) => !(MODERATION_CATEGORIES as readonly string[]).includes(name)));
  return JSON.stringify([flagged ? 1 : 0, hit, known, ...(Object.keys(others).length > 0 ? [others] : [])]);
}

function unpack(text: string | null): ModerationResult | undefined {
  if (text === null) return undefined;
  const [flagged, hit, known, others] = JSON.parse(text) as [number, string[], (number | null)[], Record<string, number>?];
  return {
    flagged: flagged === 1,
    categories: Object.fromEntries(hit.map((name) => [name, true])),
    category_scores: { ...Object.fromEntries(MODERATION_CATEGORIES.map((name, index) => [name, known[index] ?? null])), ...others },
  };
}

/** What judges of parts said, as one verdict on the whole: no laxer than any of them. */
export function mergedResult(results: readonly ModerationResult[]): ModerationResult {
  const categories: Record<string, boolean> = {};
  const scores: Record<string, number> = {};
  for (const result of results) {
    for (const [name, flagged] of Object.entries(result.categories)) categories[name] = categories[name] === true || flagged === true;
    for (const [name, score] of Object.entries(result.category_scores)) if (score !== null) scores[name] = Math.max(score, scores[name] ?? 0);
  }
  return { flagged: results.some(({ flagged }) => flagged), categories, category_scores: scores };
}
