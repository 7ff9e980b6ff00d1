import type { ReactNode, Ref } from 'react';
import { Link } from 'wouter';

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** Figures stand at the end of their cell. */
  isFigure?: boolean;
}

export interface Selection {
  ids: ReadonlySet<string>;
  change: (ids: ReadonlySet<string>) => void;
}

export interface RowsProps<T> {
  /** What the rows are, for the table's name. */
  name: string;
  columns: readonly Column<T>[];
  idOf: (row: T) => string;
  /** The page of a row. The first column becomes its link, and the whole row follows it. */
  hrefOf?: (row: T) => string;
  selection?: Selection;
}

/** Rows as a table, and on a narrow screen as cards. */
export function Rows<T>({
  name,
  columns,
  rows,
  idOf,
  hrefOf,
  selection,
  table,
}: RowsProps<T> & { rows: readonly T[]; table?: Ref<HTMLTableElement> }) {
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
    <table className="rows" aria-label={name} ref={table}>
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
