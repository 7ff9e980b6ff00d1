import { Button, Title } from '@mantine/core';
import { Link } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import { showUsd } from '../kit/amounts.ts';
import { LeftBar } from '../kit/bar.tsx';
import { Icon } from '../kit/icon.tsx';
import { Listing } from '../kit/listing.tsx';
import type { Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { When } from '../kit/when.tsx';

const COLUMNS: readonly Column<CampaignView>[] = [
  { title: 'Name', cell: ({ name }) => name },
  { title: 'Status', cell: ({ status }) => <Status of={status} /> },
  { title: 'Left', cell: (row) => <LeftBar budget={row.budget_usd} available={row.available_usd} /> },
  { title: 'Spent', cell: ({ spent_usd }) => showUsd(spent_usd), isFigure: true },
  { title: 'Live keys', cell: ({ keys }) => keys.active, isFigure: true },
  { title: 'Created', cell: ({ created_at }) => <When at={created_at} short /> },
];

export default function CampaignsPage() {
  return (
    <>
      <div className="page-head">
        <Title order={1}>Campaigns</Title>
        <Button component={Link} href="/campaigns/new" leftSection={<Icon name="plus" />}>
          Launch a campaign
        </Button>
      </div>
      <Listing<CampaignView>
        name="Campaigns"
        path="/campaigns"
        columns={COLUMNS}
        idOf={({ id }) => id}
        hrefOf={({ slug }) => `/campaigns/${slug}`}
        empty={
          <>
            <p>No campaign yet. A campaign has a budget, and hands out keys through links.</p>
            <Button component={Link} href="/campaigns/new">
              Launch a campaign
            </Button>
          </>
        }
      />
    </>
  );
}
