import { Button, NativeSelect, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useRef } from 'react';
import { Link, useLocation, useParams, useSearchParams } from 'wouter';
import type { CallView } from '#libs/contracts/admin/answers.js';
import { filterIn, LAST, queryOf, useCampaignNames, usePassed, useQueue } from '../api/review.ts';
import { useLatestShortcuts } from '../frame/latest.ts';
import { Decisions } from '../kit/decisions.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Rows, type Column } from '../kit/rows.tsx';
import { When } from '../kit/when.tsx';
import { useChanges } from '../live/stream.ts';
import { ReviewItem } from './review/item.tsx';
import { useDecisions } from './review/decide.ts';

const FIELDS = [
  {
    name: 'decision',
    label: 'Decision',
    data: [
      { value: '', label: 'Blocked or flagged' },
      { value: 'blocked', label: 'Blocked' },
      { value: 'flagged', label: 'Flagged' },
    ],
  },
  {
    name: 'last',
    label: 'Time',
    data: [
      { value: '', label: LAST['30d'].label },
      { value: '7d', label: LAST['7d'].label },
      { value: '24h', label: LAST['24h'].label },
    ],
  },
  {
    name: 'shown',
    label: 'Show',
    data: [
      { value: '', label: 'Waiting for a review' },
      { value: 'seen', label: 'Seen' },
      { value: 'all', label: 'All' },
    ],
  },
] as const;

const COLUMNS: readonly Column<CallView>[] = [
  { title: 'Time', cell: ({ at }) => <When at={at} short /> },
  { title: 'Key', cell: ({ key, key_label: label }) => label || <code>{key}</code> },
  { title: 'Visitor', cell: ({ visitor }) => <code>{visitor}</code> },
  { title: 'Campaign', cell: ({ campaign }) => campaign ?? 'gone' },
  { title: 'Prompt', cell: ({ input }) => <Decisions of={input} /> },
  { title: 'Answer', cell: ({ output }) => <Decisions of={output} /> },
  { title: 'Model', cell: ({ model }) => model },
];

export default function ReviewPage() {
  const { id } = useParams<{ id?: string }>();
  const [params, setParams] = useSearchParams();
  const search = params.toString();
  // The begin of the time is fixed with the filter, so that a visit has one queue.
  const query = useMemo(() => queryOf(filterIn(new URLSearchParams(search))), [search]);
  const decisions = useDecisions();
  const hrefOf = (call: string): string => `/review/${call}${search === '' ? '' : `?${search}`}`;
  if (id !== undefined)
    return <ReviewItem key={id} id={id} query={query} search={search} hrefOf={hrefOf} decisions={decisions} />;
  const set = (name: string, value: string): void =>
    setParams(
      (before) => {
        const after = new URLSearchParams(before);
        if (value === '') after.delete(name);
        else after.set(name, value);
        return after;
      },
      { replace: true },
    );
  return (
    <>
      <div className="page-head">
        <Title order={1}>Review</Title>
      </div>
      <div className="review-filters">
        {FIELDS.map(({ name, label, data }) => (
          <NativeSelect
            key={name}
            label={label}
            data={[...data]}
            value={params.get(name) ?? ''}
            onChange={(event) => set(name, event.currentTarget.value)}
          />
        ))}
        <CampaignField value={params.get('campaign') ?? ''} set={(value) => set('campaign', value)} />
      </div>
      <Queue
        query={query}
        hrefOf={hrefOf}
        isFiltered={search !== ''}
        showAll={() => setParams({}, { replace: true })}
      />
    </>
  );
}

function CampaignField({ value, set }: { value: string; set: (value: string) => void }) {
  const { data = [] } = useCampaignNames();
  const isUnknown = value !== '' && data.every(({ slug }) => slug !== value);
  return (
    <NativeSelect
      label="Campaign"
      value={value}
      data={[
        { value: '', label: 'All' },
        ...(isUnknown ? [{ value, label: value }] : []),
        ...data.map(({ slug, name }) => ({ value: slug, label: name })),
      ]}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}

interface QueueProps {
  query: ReturnType<typeof queryOf>;
  hrefOf: (call: string) => string;
  isFiltered: boolean;
  showAll: () => void;
}

function Queue({ query, hrefOf, isFiltered, showAll }: QueueProps) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const table = useRef<HTMLTableElement>(null);
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetching } = useQueue(query);
  const calls = data?.pages.flatMap((page) => page.data);
  const isEmpty = calls?.length === 0;
  const { changes, forget } = useChanges(['flag']);
  const rows = (): HTMLAnchorElement[] => [...(table.current?.querySelectorAll<HTMLAnchorElement>('.row-link') ?? [])];
  const step = (by: 1 | -1): void => {
    const all = rows();
    const here = all.indexOf(document.activeElement as HTMLAnchorElement);
    all[here === -1 ? 0 : Math.min(all.length - 1, Math.max(0, here + by))]?.focus();
  };
  useLatestShortcuts([
    { keys: 'j', text: 'The next call', act: () => step(1) },
    { keys: 'k', text: 'The call before', act: () => step(-1) },
  ]);
  const hasRows = (calls?.length ?? 0) > 0;
  // Enter opens the first call at once, unless the reader is somewhere else already.
  useEffect(() => {
    const focused = document.activeElement;
    if (hasRows && (focused === null || focused === document.body || focused.closest('nav') !== null))
      table.current?.querySelector<HTMLAnchorElement>('.row-link')?.focus();
  }, [hasRows]);
  const refresh = (): void => {
    forget();
    void client.resetQueries({ queryKey: ['review-queue'] });
    navigate('/review', { replace: true });
  };
  return (
    <>
      <FaultNote error={error} retry={() => void refetch()} />
      {changes > 0 && (
        <Button variant="light" mb="sm" onClick={isFiltered ? () => void refetch().then(forget) : refresh}>
          {changes > 99 ? 'over 99' : changes} new
        </Button>
      )}
      {isEmpty && <Nothing query={query} isFiltered={isFiltered} showAll={showAll} />}
      {calls && calls.length > 0 && (
        <Rows
          name="Flagged calls"
          columns={COLUMNS}
          rows={calls}
          idOf={({ id }) => id}
          hrefOf={({ id }) => hrefOf(id)}
          table={table}
        />
      )}
      {hasNextPage && (
        <Button variant="default" mt="md" loading={isFetching} onClick={() => void fetchNextPage()}>
          Show more
        </Button>
      )}
      {calls && calls.length > 0 && (
        <p className="small dimmed no-print">
          <kbd>J</kbd> next · <kbd>K</kbd> back · <kbd>Enter</kbd> opens
        </p>
      )}
    </>
  );
}

function Nothing({ query, isFiltered, showAll }: Pick<QueueProps, 'query' | 'isFiltered' | 'showAll'>) {
  const { data: passed } = usePassed(query, true);
  return (
    <div className="empty">
      <p>
        Nothing flagged
        {passed !== undefined &&
          `; ${passed.checks.toLocaleString('en')}${passed.is_more ? ' or more' : ''} ${passed.checks === 1 ? 'check' : 'checks'} passed`}
        .
      </p>
      {isFiltered && (
        <Button variant="default" onClick={showAll}>
          Show all that waits
        </Button>
      )}
      {!isFiltered && (
        <Button component={Link} href="/calls" variant="default">
          All calls
        </Button>
      )}
    </div>
  );
}
