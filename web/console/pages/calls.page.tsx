import { Button, Title } from '@mantine/core';
import { Link, useSearchParams } from 'wouter';
import type { CallView } from '#libs/contracts/admin/answers.js';
import { CALL_COLUMNS, CALL_FILTER_NAMES, CALL_FILTERS, callHref } from '../kit/call-columns.tsx';
import { CsvButton } from '../kit/csv-button.tsx';
import { Listing, type Filter } from '../kit/listing.tsx';

const FILTERS: readonly Filter[] = [
  ...CALL_FILTERS,
  { name: 'campaign', label: 'Campaign', kind: 'text', placeholder: 'Its short name' },
  { name: 'key', label: 'Key', kind: 'text', placeholder: 'key_…' },
  { name: 'visitor', label: 'Visitor', kind: 'text', placeholder: 'vis_… or key_…' },
];

export default function CallsPage() {
  const [params] = useSearchParams();
  return (
    <>
      <div className="page-head">
        <Title order={1}>Calls</Title>
        <CsvButton path="/requests" names={CALL_FILTER_NAMES} />
      </div>
      <Listing<CallView>
        name="Calls"
        path="/requests"
        columns={CALL_COLUMNS}
        filters={FILTERS}
        idOf={({ id }) => id}
        hrefOf={({ id }) => callHref(id, params)}
        events={['flag']}
        empty={
          <>
            <p>No calls yet. Share a link, or hand out keys.</p>
            <Button component={Link} href="/campaigns">
              Campaigns
            </Button>
          </>
        }
      />
    </>
  );
}
