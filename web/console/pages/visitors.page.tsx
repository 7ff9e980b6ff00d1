import { Title } from '@mantine/core';
import type { VisitorView } from '#libs/contracts/admin/safety.js';
import { showUsd } from '../kit/amounts.ts';
import { Listing } from '../kit/listing.tsx';
import type { Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { When } from '../kit/when.tsx';
import { refusedShare, visitorState } from '../kit/visitor.ts';

const COLUMNS: readonly Column<VisitorView>[] = [
  { title: 'Visitor', cell: ({ id, label }) => label ?? <code>{id}</code> },
  { title: 'State', cell: (row) => <Status of={visitorState(row)} /> },
  { title: 'Refused', cell: (row) => refusedShare(row), isFigure: true },
  { title: 'Flagged', cell: ({ flagged }) => flagged, isFigure: true },
  { title: 'Calls', cell: ({ calls }) => calls, isFigure: true },
  { title: 'Spent', cell: ({ spent_usd }) => showUsd(spent_usd), isFigure: true },
  { title: 'Live keys', cell: ({ keys, keys_active }) => `${keys_active} of ${keys}`, isFigure: true },
  { title: 'Last call', cell: ({ last_at }) => <When at={last_at} none="never" short /> },
];

export default function VisitorsPage() {
  return (
    <>
      <div className="page-head">
        <Title order={1}>Visitors</Title>
      </div>
      <Listing<VisitorView>
        name="Visitors"
        path="/visitors"
        columns={COLUMNS}
        filters={[
          {
            name: 'sort',
            label: 'Order',
            kind: 'choice',
            options: [
              { value: '', label: 'Most refused first' },
              { value: 'share', label: 'Largest share refused first' },
              { value: 'spent', label: 'Most spent first' },
            ],
          },
        ]}
        idOf={({ id }) => id}
        hrefOf={({ id }) => `/visitors/${id}`}
        events={['strike', 'flag']}
        empty={<p>Nobody has a key yet. A visitor is who claimed a key, or the key itself where nobody said.</p>}
      />
    </>
  );
}
