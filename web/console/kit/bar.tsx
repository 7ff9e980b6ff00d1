import { percentOf } from '../../shared/money.ts';
import { showUsd } from './amounts.ts';

/** The text says it; the bar shows it. */
export function Bar({ percent, tone = 'good' }: { percent: number; tone?: 'good' | 'warn' | 'bad' }) {
  return (
    <span className="bar" data-tone={tone} aria-hidden="true">
      <span style={{ inlineSize: `${percent}%` }} />
    </span>
  );
}

/** What is left of a budget. */
export function LeftBar({ budget, available }: { budget: string; available: string }) {
  const percent = percentOf(available, budget);
  return (
    <span className="left-bar">
      <Bar percent={percent} tone={percent < 5 ? 'bad' : percent < 20 ? 'warn' : 'good'} />
      <span>
        {showUsd(available)} of {showUsd(budget)}
      </span>
    </span>
  );
}
