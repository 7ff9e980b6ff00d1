import { Title } from '@mantine/core';
import type { ActView } from '#libs/contracts/admin/safety.js';
import { ACT_COLUMNS } from '../kit/act-list.tsx';
import { CsvButton } from '../kit/csv-button.tsx';
import { Listing, type Filter } from '../kit/listing.tsx';

const FILTERS: readonly Filter[] = [
  {
    name: 'act',
    label: 'Act',
    kind: 'choice',
    options: [
      { value: '', label: 'All' },
      { value: 'status', label: 'Status of a key' },
      { value: 'terms', label: 'Terms of a key' },
      { value: 'visitor', label: 'About a visitor' },
      { value: 'opened', label: 'Somebody read a text' },
      { value: 'reviewed', label: 'Marked as seen' },
      { value: 'erasure', label: 'Erasure' },
      { value: 'retention', label: 'Old texts deleted' },
      { value: 'safety', label: 'Notice of the provider' },
    ],
  },
  { name: 'actor', label: 'Who', kind: 'text', placeholder: 'The whole name' },
  { name: 'subject', label: 'About', kind: 'text', placeholder: 'key_…, vis_…, req_…' },
  { name: 'since', label: 'From', kind: 'time' },
  { name: 'until', label: 'To', kind: 'time' },
];

export default function ActsPage() {
  return (
    <>
      <div className="page-head">
        <Title order={1}>Acts</Title>
        <CsvButton path="/acts" names={FILTERS.map(({ name }) => name)} />
      </div>
      <Listing<ActView>
        name="Acts"
        path="/acts"
        columns={ACT_COLUMNS}
        filters={FILTERS}
        idOf={({ id }) => id}
        empty={
          <p>Nobody did anything yet. Each suspension, change of terms, look at a text and erasure stands here.</p>
        }
      />
    </>
  );
}
