import type { RequestView } from '#libs/contracts/admin/safety.js';
import { Status } from './status.tsx';
import { When } from './when.tsx';

type Check = RequestView['checks'][number];
/** A score below it, in a category without a limit, says nothing. */
const QUIET_BELOW = 0.01;

interface Score {
  category: string;
  score: number | undefined;
  limit: number | undefined;
  isHit: boolean;
}

/** All categories that somebody scored or limited, the reasons of the decision first. */
export function scoresOf({ scores, thresholds, categories }: Pick<Check, 'scores' | 'thresholds' | 'categories'>) {
  const names = new Set([...categories, ...Object.keys(scores), ...Object.keys(thresholds)]);
  const all: Score[] = [...names].map((category) => ({
    category,
    score: Object.hasOwn(scores, category) ? scores[category] : undefined,
    limit: Object.hasOwn(thresholds, category) ? thresholds[category] : undefined,
    isHit: categories.includes(category),
  }));
  all.sort((a, b) => Number(b.isHit) - Number(a.isHit) || (b.score ?? 0) - (a.score ?? 0));
  const isLoud = ({ isHit, score = 0, limit }: Score): boolean => isHit || limit !== undefined || score >= QUIET_BELOW;
  return { loud: all.filter(isLoud), quiet: all.filter((one) => !isLoud(one)) };
}

const DIRECTIONS = { input: 'Prompt', output: 'Answer' } as const;

/** One guard's verdict: what it decided, and each score beside its limit. */
export function Verdict({ check }: { check: Check }) {
  const { loud, quiet } = scoresOf(check);
  return (
    <article className="verdict" aria-label={`${DIRECTIONS[check.direction]}: ${check.decision} by ${check.guard}`}>
      <p className="verdict-head">
        <b>{DIRECTIONS[check.direction]}</b> <Status of={check.decision} />
        <span className="dimmed">
          {check.guard === check.model ? check.guard : `${check.guard} · ${check.model}`} · {check.latency_ms} ms ·{' '}
          <When at={check.at} short />
        </span>
      </p>
      {check.reason !== null && <p className="dimmed small">{check.reason}</p>}
      {loud.length > 0 && <Scores of={loud} />}
      {quiet.length > 0 && (
        <details className="more small">
          <summary>
            {quiet.length} more below {QUIET_BELOW}
          </summary>
          <Scores of={quiet} />
        </details>
      )}
    </article>
  );
}

function Scores({ of }: { of: readonly Score[] }) {
  return (
    <ul className="scores">
      {of.map(({ category, score, limit, isHit }) => (
        <li key={category} data-hit={isHit || undefined}>
          <span>{category}</span>
          <span className="score" aria-hidden="true">
            <span style={{ inlineSize: `${Math.min(100, (score ?? 0) * 100)}%` }} />
            {limit !== undefined && <i style={{ insetInlineStart: `${Math.min(100, limit * 100)}%` }} />}
          </span>
          <span className="score-words">
            <b>{score === undefined ? 'no score' : score.toFixed(2)}</b>{' '}
            {limit !== undefined ? `(limit ${limit.toFixed(2)})` : isHit ? '(the model’s own flag)' : '(no limit)'}
          </span>
        </li>
      ))}
    </ul>
  );
}
