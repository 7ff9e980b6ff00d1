import type { CallView } from '#libs/contracts/admin/answers.js';
import { showUsd } from './amounts.ts';
import { DECISION_OPTIONS, Decisions } from './decisions.tsx';
import type { Filter } from './listing.tsx';
import type { Column } from './rows.tsx';
import { Status } from './status.tsx';
import { When } from './when.tsx';

const REVIEWED = { true: 'seen', false: 'waits for review', null: '' } as const;

/** Calls without what was asked. */
export const CALL_COLUMNS: readonly Column<CallView>[] = [
  { title: 'Time', cell: ({ at }) => <When at={at} short /> },
  { title: 'Key', cell: ({ key, key_label }) => key_label || <code>{key}</code> },
  { title: 'Model', cell: ({ model }) => model },
  { title: 'Prompt', cell: ({ input }) => <Decisions of={input} /> },
  { title: 'Answer', cell: ({ output }) => <Decisions of={output} /> },
  { title: 'Result', cell: ({ result }) => <Status of={result} /> },
  { title: 'Cost', cell: ({ paid_usd }) => showUsd(paid_usd), isFigure: true },
  { title: 'Review', cell: ({ reviewed }) => <span className="dimmed">{REVIEWED[`${reviewed}`] || '–'}</span> },
];

export const CALL_FILTERS: readonly Filter[] = [
  { name: 'decision', label: 'Checks', kind: 'choice', options: DECISION_OPTIONS },
  {
    name: 'reviewed',
    label: 'Review',
    kind: 'choice',
    options: [
      { value: '', label: 'All' },
      { value: 'false', label: 'Waits for review' },
      { value: 'true', label: 'Seen' },
    ],
  },
  { name: 'model', label: 'Model', kind: 'text', placeholder: 'gpt-5.4-mini' },
  { name: 'since', label: 'From', kind: 'time' },
  { name: 'until', label: 'To', kind: 'time' },
];
/** What the list of calls can be narrowed by: the same for the calls beside a call. */
export const CALL_FILTER_NAMES = ['campaign', 'key', 'visitor', ...CALL_FILTERS.map(({ name }) => name)];

/** The page of a call, within the filter of the list that led there. */
export function callHref(id: string, params: URLSearchParams, fixed: Readonly<Record<string, string>> = {}): string {
  const kept = new URLSearchParams(fixed);
  for (const name of CALL_FILTER_NAMES) {
    const value = params.get(name);
    if (value) kept.set(name, value);
  }
  const query = kept.toString();
  return `/calls/${id}${query === '' ? '' : `?${query}`}`;
}
