import type { KeyView } from '#libs/contracts/admin/answers.js';
import { showUsd } from './amounts.ts';
import { LeftBar } from './bar.tsx';
import type { Column } from './rows.tsx';
import { Status } from './status.tsx';
import { When } from './when.tsx';

export const KEY_COLUMNS: readonly Column<KeyView>[] = [
  { title: 'Key', cell: ({ prefix }) => <code>{prefix}…</code> },
  { title: 'Label', cell: ({ label }) => label || <span className="dimmed">none</span> },
  { title: 'Status', cell: ({ status }) => <Status of={status} /> },
  { title: 'Left', cell: (row) => <LeftBar budget={row.budget_usd} available={row.available_usd} /> },
  { title: 'Spent', cell: ({ spent_usd }) => showUsd(spent_usd), isFigure: true },
  { title: 'Last call', cell: ({ last_call_at }) => <When at={last_call_at} none="never" short /> },
];

export const KEY_FILTERS = [
  { name: 'q', label: 'Search', kind: 'text', placeholder: 'Prefix or label' },
  {
    name: 'status',
    label: 'Status',
    kind: 'choice',
    options: [
      { value: '', label: 'All' },
      { value: 'active', label: 'Active' },
      { value: 'suspended', label: 'Suspended' },
      { value: 'revoked', label: 'Revoked' },
      { value: 'expired', label: 'Expired' },
    ],
  },
  {
    name: 'sort',
    label: 'Order',
    kind: 'choice',
    options: [
      { value: '', label: 'Newest first' },
      { value: '-spent', label: 'Most spent first' },
      { value: '-last_call', label: 'Last call first' },
    ],
  },
] as const;
