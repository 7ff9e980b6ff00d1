import { Button, Group, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Page } from '#libs/contracts/admin/answers.js';
import { relative } from '../../shared/time.ts';
import { get, type Query } from '../api/client.ts';
import { useChanges, useNow, type StreamEvent } from '../live/stream.ts';
import { localOf, timeOf } from './draft.ts';
import { FaultNote } from './fault-note.tsx';

const TYPING_PAUSE_MS = 350;

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** Figures stand at the end of their cell. */
  isFigure?: boolean;
}

export type Filter =
  | { name: string; label: string; kind: 'text'; placeholder?: string }
  | { name: string; label: string; kind: 'choice'; options: readonly { value: string; label: string }[] }
  | { name: string; label: string; kind: 'time' };

export interface Selection {
  ids: ReadonlySet<string>;
  change: (ids: ReadonlySet<string>) => void;
}

interface Props<T> {
  /** What the rows are, for the table's name. */
  name: string;
  path: string;
  columns: readonly Column<T>[];
  idOf: (row: T) => string;
  /** The page of a row. The first column becomes its link, and the whole row follows it. */
  hrefOf?: (row: T) => string;
  filters?: readonly Filter[];
  /** Filters that the reader cannot change. */
  fixed?: Query;
  /** What to do next, where nothing was ever there. */
  empty: ReactNode;
  /** Events that change the list. It tells how many came, and never jumps. */
  events?: readonly StreamEvent[];
  selection?: Selection;
  /** Beside the filters. */
  actions?: ReactNode;
}

/** A list that the server filters, sorts and pages. Its filters and its page stand in the address. */
export function Listing<T>(props: Props<T>) {
  const { path, filters = [], fixed = {}, events = [], idOf } = props;
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
      {data && data.data.length > 0 && <Rows {...props} rows={data.data} idOf={idOf} />}
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

function Rows<T>({ name, columns, rows, idOf, hrefOf, selection }: Props<T> & { rows: readonly T[] }) {
  const ids = rows.map(idOf);
  const areAllChosen = selection !== undefined && ids.every((id) => selection.ids.has(id));
  const choose = (some: readonly string[], isChosen: boolean): void => {
    const after = new Set(selection!.ids);
    for (const id of some) {
      if (isChosen) after.add(id);
      else after.delete(id);
    }
    selection!.change(after);
  };
  return (
    // Cards below 768 px are no tables for a browser, so that each part says what it is.
    <table className="rows" aria-label={name}>
      <thead>
        <tr>
          {selection && (
            <th scope="col">
              <input
                type="checkbox"
                aria-label="Select all on this page"
                checked={areAllChosen}
                onChange={(event) => choose(ids, event.currentTarget.checked)}
              />
            </th>
          )}
          {columns.map(({ title, isFigure }) => (
            <th scope="col" key={title} data-figure={isFigure || undefined}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={idOf(row)} data-link={hrefOf !== undefined || undefined}>
            {selection && (
              <td className="choice">
                <input
                  type="checkbox"
                  aria-label={`Select ${idOf(row)}`}
                  checked={selection.ids.has(idOf(row))}
                  onChange={(event) => choose([idOf(row)], event.currentTarget.checked)}
                />
              </td>
            )}
            {columns.map(({ title, cell, isFigure }, index) => (
              <td key={title} data-title={title} data-figure={isFigure || undefined}>
                {index === 0 && hrefOf ? (
                  <Link href={hrefOf(row)} className="row-link">
                    {cell(row)}
                  </Link>
                ) : (
                  cell(row)
                )}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
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
