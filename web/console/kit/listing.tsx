import { Button, Group, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';
import { useSearchParams } from 'wouter';
import type { Page } from '#libs/contracts/admin/answers.js';
import { relative } from '../../shared/time.ts';
import { get, type Query } from '../api/client.ts';
import { useChanges, useNow, type StreamEvent } from '../live/stream.ts';
import { localOf, timeOf } from './draft.ts';
import { FaultNote } from './fault-note.tsx';
import { Rows, type RowsProps } from './rows.tsx';

const TYPING_PAUSE_MS = 350;

export type Filter =
  | { name: string; label: string; kind: 'text'; placeholder?: string }
  | { name: string; label: string; kind: 'choice'; options: readonly { value: string; label: string }[] }
  | { name: string; label: string; kind: 'time' };

interface Props<T> extends RowsProps<T> {
  path: string;
  filters?: readonly Filter[];
  /** Filters that the reader cannot change. */
  fixed?: Query;
  /** What to do next, where nothing was ever there. */
  empty: ReactNode;
  /** Events that change the list. It tells how many came, and never jumps. */
  events?: readonly StreamEvent[];
  /** Beside the filters. */
  actions?: ReactNode;
}

/** A list that the server filters, sorts and pages. Its filters and its page stand in the address. */
export function Listing<T>(props: Props<T>) {
  const { path, filters = [], fixed = {}, events = [] } = props;
  const [params, setParams] = useSearchParams();
  const chosen = Object.fromEntries(filters.map(({ name }) => [name, params.get(name) ?? undefined]));
  const cursor = params.get('cursor') ?? undefined;
  const query = { ...fixed, ...chosen, cursor };
  const { data, error, refetch, isFetching, dataUpdatedAt } = useQuery({
    queryKey: ['list', path, query],
    queryFn: ({ signal }) => get<Page<T>>(path, query, signal),
    placeholderData: (before) => before,
  });
  const { changes, forget } = useChanges(events);
  const refresh = (): void => {
    forget();
    void refetch();
  };
  const set = (name: string, value: string): void =>
    setParams(
      (before) => {
        const after = new URLSearchParams(before);
        // A cursor belongs to the filters that it was made under.
        after.delete('cursor');
        if (value === '') after.delete(name);
        else after.set(name, value);
        return after;
      },
      { replace: true },
    );
  const turnTo = (next: string | null): void =>
    setParams((before) => {
      const after = new URLSearchParams(before);
      if (next === null) after.delete('cursor');
      else after.set('cursor', next);
      return after;
    });
  const isFiltered = Object.values(chosen).some(Boolean);
  return (
    <section aria-label={props.name} className="listing">
      <Group align="end" gap="sm" className="filters">
        {filters.map((filter) => (
          <FilterField key={filter.name} filter={filter} value={chosen[filter.name] ?? ''} set={set} />
        ))}
        {props.actions}
        <Updated atMs={dataUpdatedAt} changes={changes} isFetching={isFetching} refresh={refresh} />
      </Group>
      <FaultNote error={error} retry={refresh} />
      {data && data.data.length === 0 && (
        <div className="empty">
          {isFiltered || cursor ? (
            <>
              <p>Nothing matches these filters.</p>
              <Button
                variant="default"
                onClick={() =>
                  setParams((before) => {
                    const after = new URLSearchParams(before);
                    for (const name of ['cursor', ...filters.map((one) => one.name)]) after.delete(name);
                    return after;
                  })
                }
              >
                Show all
              </Button>
            </>
          ) : (
            props.empty
          )}
        </div>
      )}
      {data && data.data.length > 0 && <Rows {...props} rows={data.data} />}
      {(cursor !== undefined || data?.next_cursor) && (
        <Group gap="sm">
          <Button variant="default" disabled={cursor === undefined} onClick={() => turnTo(null)}>
            First page
          </Button>
          <Button variant="default" disabled={!data?.next_cursor} onClick={() => turnTo(data!.next_cursor)}>
            Next page
          </Button>
        </Group>
      )}
    </section>
  );
}

function FilterField({
  filter,
  value,
  set,
}: {
  filter: Filter;
  value: string;
  set: (name: string, value: string) => void;
}) {
  if (filter.kind === 'choice') {
    return (
      <NativeSelect
        label={filter.label}
        value={value}
        data={[...filter.options]}
        onChange={(event) => set(filter.name, event.currentTarget.value)}
      />
    );
  }
  if (filter.kind === 'time') {
    return (
      <TextInput
        type="datetime-local"
        label={filter.label}
        value={localOf(value || null)}
        onChange={(event) => set(filter.name, timeOf(event.currentTarget.value) ?? '')}
      />
    );
  }
  return <TextFilter key={value === '' ? 'none' : 'some'} filter={filter} value={value} set={set} />;
}

/** Asks the server when the reader pauses, not at each letter. */
function TextFilter({
  filter,
  value,
  set,
}: {
  filter: Extract<Filter, { kind: 'text' }>;
  value: string;
  set: (name: string, value: string) => void;
}) {
  const [typed, setTyped] = useState(value);
  useEffect(() => {
    if (typed.trim() === value) return undefined;
    const timer = setTimeout(() => set(filter.name, typed.trim()), TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  });
  return (
    <TextInput
      type="search"
      label={filter.label}
      placeholder={filter.placeholder}
      value={typed}
      maxLength={200}
      onChange={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

function Updated({
  atMs,
  changes,
  isFetching,
  refresh,
}: {
  atMs: number;
  changes: number;
  isFetching: boolean;
  refresh: () => void;
}) {
  const nowMs = useNow();
  if (atMs === 0) return null;
  return (
    <span className="updated">
      {changes > 0 ? (
        <Button variant="light" onClick={refresh}>
          {changes > 99 ? 'over 99' : changes} new
        </Button>
      ) : (
        <button type="button" className="plain" onClick={refresh} title="Ask again">
          {isFetching ? 'updating…' : `updated ${relative(new Date(atMs), new Date(Math.max(nowMs, atMs)))}`}
        </button>
      )}
    </span>
  );
}
