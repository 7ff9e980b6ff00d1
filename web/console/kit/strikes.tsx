import { Link } from 'wouter';
import type { StrikeView } from '#libs/contracts/admin/answers.js';
import type { Column } from './rows.tsx';
import { Status } from './status.tsx';
import { When } from './when.tsx';

const STEPS = { warn: 'warned', cooldown: 'resting', suspend: 'suspended' } as const;

export function categoriesOf({ detail }: StrikeView): string {
  return Array.isArray(detail.categories) ? detail.categories.map(String).join(', ') : '';
}

export const STRIKE_COLUMNS: readonly Column<StrikeView>[] = [
  { title: 'Time', cell: ({ at }) => <When at={at} /> },
  { title: 'Why', cell: (row) => categoriesOf(row) || <span className="dimmed">not told</span> },
  { title: 'Number', cell: ({ strikes }) => strikes, isFigure: true },
  { title: 'Then', cell: ({ step }) => <Status of={STEPS[step]} /> },
  { title: 'Key', cell: ({ key }) => <Link href={`/keys/${key}`}>{key}</Link> },
];

/** Refused inputs, one line each. `current` is not told again. */
export function Strikes({ of, current }: { of: readonly StrikeView[]; current?: string }) {
  const earlier = of.filter(({ request_id }) => request_id !== current);
  if (earlier.length === 0) return <p className="dimmed small">No other refused input.</p>;
  return (
    <ol className="strikes">
      {earlier.map((strike) => (
        <li key={strike.request_id}>
          <Link href={`/calls/${strike.request_id}`}>
            <When at={strike.at} short />
          </Link>{' '}
          {categoriesOf(strike)} <span className="dimmed">· {STEPS[strike.step]}</span>
        </li>
      ))}
    </ol>
  );
}
