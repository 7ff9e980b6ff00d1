import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, QueryFailedError } from 'typeorm';
import type { Replay } from '#libs/contracts/admin/audit.js';
import { MODERATION_CATEGORIES, type ModerationPolicy } from '#libs/contracts/policy.js';
import { AtMost } from '../at-most.js';
import { AdminError } from '../domain/admin.error.js';

type Category = (typeof MODERATION_CATEGORIES)[number];
type Thresholds = ModerationPolicy['thresholds'];

const DAY_MS = 86_400_000;
/** Somebody waits at a slider, and the books need Postgres, too. */
const STATEMENT_TIMEOUT_MS = 15_000;
const TIMED_OUT = '57014';
const AT_ONCE = 2;
const EXAMPLES_MAX = 10;
const GUARDS_MAX = 100;

interface Row {
  checks: string;
  now_blocked: string;
  would_block: string;
  unknown: string;
  left_out: Replay['left_out'] | null;
  examples: { id: string; request_id: string }[] | null;
}

export interface ReplayQuestion {
  campaign: string;
  thresholds: Thresholds;
  days: number;
}

/**
 * What other thresholds would have made of the verdicts on record. It asks nobody: the scores are kept. It decides as
 * `judgementOf` of libs/moderation does, with the campaign's policy joined with that of each key as it is now.
 */
@Injectable()
export class ThresholdReplay {
  /** How long one replay may take. Only a test sets it. */
  timeoutMs = STATEMENT_TIMEOUT_MS;
  private readonly places = new AtMost(AT_ONCE, 'replays');

  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** @throws AdminError `not_found`, `too_busy`; `invalid_request` where the checks are too many for the time */
  run(question: ReplayQuestion): Promise<Replay> {
    return this.places.run(() => this.ask(question));
  }

  private async ask({ campaign, thresholds, days }: ReplayQuestion): Promise<Replay> {
    const [known] = await this.source.query<{ id: string }[]>('SELECT id FROM access.campaigns WHERE slug = $1', [
      campaign,
    ]);
    if (!known) throw new AdminError('not_found', `There is no campaign '${campaign}'.`);
    const since = new Date(Date.now() - days * DAY_MS);
    const values: unknown[] = [known.id, since, MODERATION_CATEGORIES];
    const sql = replay(thresholds, (value) => `$${values.push(String(value))}::numeric`);
    const [row] = await this.timed(sql, values, days);
    const { checks, now_blocked, would_block, unknown, left_out, examples } = row!;
    return {
      since: since.toISOString(),
      checks: Number(checks),
      now_blocked: Number(now_blocked),
      would_block: Number(would_block),
      unknown: Number(unknown),
      left_out: left_out ?? [],
      examples: (examples ?? []).map(({ id }) => id),
      example_calls: (examples ?? []).map(({ request_id: call }) => call),
    };
  }

  private async timed(sql: string, values: unknown[], days: number): Promise<Row[]> {
    try {
      return await this.source.transaction(async (manager) => {
        await manager.query('SET TRANSACTION READ ONLY');
        await manager.query(`SET LOCAL statement_timeout = '${this.timeoutMs}ms'`);
        // To compile so long an expression for each month takes longer than to read most campaigns.
        await manager.query('SET LOCAL jit = off');
        return manager.query<Row[]>(sql, values);
      });
    } catch (error) {
      if (!(error instanceof QueryFailedError) || (error.driverError as { code?: string }).code !== TIMED_OUT)
        throw error;
      const advice = days > 1 ? 'Ask for fewer days.' : 'Try again when Postgres has less to do.';
      throw new AdminError(
        'invalid_request',
        `days: the checks of ${days} days cannot be replayed within ${this.timeoutMs / 1_000} s. ${advice}`,
        { param: 'days' },
      );
    }
  }
}

/**
 * One statement over the campaign's checks. It keeps a short row of each in a table of its own, which goes to the disk
 * where it is large. `put` adds a parameter; $1 to $3 are campaign, begin and all categories.
 *
 * The verdict on a check has three values, as SQL's OR joins them: NULL is a flag that the record lacks.
 */
function replay(thresholds: Thresholds, put: (value: number) => string): string {
  const hits = MODERATION_CATEGORIES.map((category) => hitOf(category, thresholds[category], put));
  return `
    WITH seen AS MATERIALIZED (
      SELECT kept.id, kept.at, kept.request_id, kept.guard, kept.decision IN ('blocked', 'flagged') AS now,
             CASE WHEN kept.decision IN ('unchecked', 'unavailable') THEN 'no_verdict'
                  WHEN kept.guard = 'moderation' OR (kept.guard = 'provider' AND kept.scores <> '{}') THEN NULL
                  ELSE 'own_rules' END AS why,
             NOT (kept.categories <@ $3::text[]) OR ${hits.join(' OR ')} AS would
        FROM audit.checks kept
        LEFT JOIN access.keys key ON key.id = kept.key_id AND key.moderation IS NOT NULL
        LEFT JOIN audit.policies policy ON policy.version = kept.policy_version
       WHERE kept.campaign_id = $1 AND kept.at >= $2
    )
    SELECT count(*) AS checks, count(*) FILTER (WHERE now) AS now_blocked, count(*) FILTER (WHERE would) AS would_block,
           count(*) FILTER (WHERE would IS NULL) AS unknown,
           (SELECT json_agg(others ORDER BY checks DESC, guard, why) FROM (
              SELECT guard, why, count(*)::int AS checks FROM seen WHERE why IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT ${GUARDS_MAX}
            ) others) AS left_out,
           (SELECT json_agg(json_build_object('id', id, 'request_id', request_id) ORDER BY at DESC, id DESC) FROM (
              SELECT id, request_id, at FROM seen WHERE why IS NULL AND would AND NOT now ORDER BY at DESC, id DESC LIMIT ${EXAMPLES_MAX}
            ) newest) AS examples
      FROM seen WHERE why IS NULL`;
}

/**
 * Whether one category flags a check. A category is one of ours, so that it needs no escape. Decimals as JSON writes doubles
 * have the order of the doubles, and Postgres compares them faster than it reads doubles out of them.
 */
function hitOf(category: Category, threshold: number | undefined, put: (value: number) => string): string {
  const score = `(kept.scores -> '${category}')::numeric`;
  const ofKey = `(key.moderation -> 'thresholds' -> '${category}')::numeric`;
  if (threshold !== undefined) return `coalesce(${score} >= least(${put(threshold)}, ${ofKey}), false)`;
  // A threshold of the key alone counts beside the model's own flag.
  return `coalesce(${score} >= ${ofKey}, false) OR ${ownFlagOf(category, score)}`;
}

/** The model's own flag. Where a threshold decided, the record has it only if it counted beside, and decided alone. */
function ownFlagOf(category: Category, score: string): string {
  const found = `'${category}' = ANY (kept.categories)`;
  return `CASE WHEN NOT (kept.thresholds ? '${category}') THEN ${found}
               WHEN policy.policy -> 'flagsToo' ? '${category}' AND coalesce(${score} < (kept.thresholds -> '${category}')::numeric, true) THEN ${found}
               ELSE NULL END`;
}
