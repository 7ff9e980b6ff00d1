import { Button, Group, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { KeyView } from '#libs/contracts/admin/answers.js';
import { BULK_ACTS, BulkDialog, type BulkAct, type BulkChoice } from '../kit/bulk-dialog.tsx';
import { CsvButton } from '../kit/csv-button.tsx';
import { KEY_COLUMNS, KEY_FILTERS } from '../kit/key-columns.tsx';
import { Listing, type Filter } from '../kit/listing.tsx';
import type { Column } from '../kit/rows.tsx';

const [KEY, LABEL, ...REST] = KEY_COLUMNS as [Column<KeyView>, Column<KeyView>, ...Column<KeyView>[]];
const COLUMNS: readonly Column<KeyView>[] = [
  KEY,
  LABEL,
  { title: 'Campaign', cell: ({ campaign }) => campaign },
  ...REST,
  { title: 'Strikes', cell: ({ strikes }) => strikes, isFigure: true },
];
const FILTERS: readonly Filter[] = [
  ...KEY_FILTERS,
  {
    name: 'flagged',
    label: 'Strikes',
    kind: 'choice',
    options: [
      { value: '', label: 'All' },
      { value: 'true', label: 'With strikes' },
    ],
  },
  { name: 'campaign', label: 'Campaign', kind: 'text', placeholder: 'Its short name' },
  { name: 'claimant', label: 'Claimant', kind: 'text', placeholder: 'vis_…' },
];
/** Filters that the act on many keys knows, too. Under any other the reader selects rows. */
const BULK_FILTERS = new Set(['q', 'status', 'campaign', 'claimant']);
const ONLY_SORTS = new Set(['sort', 'cursor']);

export default function KeysPage() {
  const [params] = useSearchParams();
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const [act, setAct] = useState<BulkAct | null>(null);
  const [isAll, setAll] = useState(false);
  const given = [...params].filter(([name, value]) => value !== '' && !ONLY_SORTS.has(name));
  const canTakeAll =
    given.length > 0 && given.every(([name]) => BULK_FILTERS.has(name)) && params.get('status') !== 'revoked';
  const choice: BulkChoice = isAll && canTakeAll ? { filter: Object.fromEntries(given) } : { ids: [...ids] };
  const hasChoice = ids.size > 0 || (isAll && canTakeAll);
  const forget = (): void => {
    setIds(new Set());
    setAll(false);
  };
  return (
    <>
      <div className="page-head">
        <Title order={1}>Keys</Title>
        <CsvButton path="/keys" names={FILTERS.map(({ name }) => name)} />
      </div>
      <Listing<KeyView>
        name="Keys"
        path="/keys"
        columns={COLUMNS}
        filters={FILTERS}
        idOf={({ id }) => id}
        hrefOf={({ id }) => `/keys/${id}`}
        events={['claim']}
        selection={{ ids, change: setIds }}
        empty={
          <>
            <p>No keys yet. Share a claim link, or hand keys out yourself.</p>
            <Button component={Link} href="/campaigns">
              Campaigns
            </Button>
          </>
        }
      />
      {(hasChoice || canTakeAll) && (
        <section className="bulk" aria-label="Act on many keys">
          <output>
            {isAll && canTakeAll
              ? 'All keys of this filter'
              : ids.size === 1
                ? '1 key selected'
                : `${ids.size} keys selected`}
          </output>
          {hasChoice && (
            <Group gap="xs">
              {(Object.keys(BULK_ACTS) as BulkAct[]).map((name) => (
                <Button
                  key={name}
                  variant={name === 'revoke' ? 'outline' : 'default'}
                  color={name === 'revoke' ? 'red' : undefined}
                  onClick={() => setAct(name)}
                >
                  {BULK_ACTS[name].act}
                </Button>
              ))}
            </Group>
          )}
          {canTakeAll && !isAll && (
            <Button variant="subtle" onClick={() => setAll(true)}>
              Take all keys of this filter
            </Button>
          )}
          {hasChoice && (
            <Button variant="subtle" onClick={forget}>
              Select none
            </Button>
          )}
        </section>
      )}
      <BulkDialog key={act} action={act} choice={choice} close={() => setAct(null)} onDone={forget} />
    </>
  );
}
