import { Button } from '@mantine/core';
import { Link } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { ClaimView } from '#libs/contracts/admin/claims.js';
import { useLinks } from '../../api/campaign.ts';
import { GATE_WORDS } from '../../kit/gates.ts';
import { Listing } from '../../kit/listing.tsx';
import type { Column } from '../../kit/rows.tsx';
import { When } from '../../kit/when.tsx';

const COLUMNS: readonly Column<ClaimView>[] = [
  { title: 'Key', cell: ({ key_prefix }) => <code>{key_prefix}…</code> },
  { title: 'Claimed', cell: ({ at }) => <When at={at} /> },
  { title: 'Link', cell: ({ link_name }) => link_name },
  { title: 'How', cell: ({ kind }) => GATE_WORDS[kind].how },
  {
    title: 'Visitor',
    cell: ({ claimant }) =>
      claimant === null ? (
        <span className="dimmed">unknown</span>
      ) : (
        <Link href={`/visitors/${claimant}`}>{claimant}</Link>
      ),
  },
];

export function ClaimsTab({ campaign: { slug } }: { campaign: CampaignView }) {
  const { data: links = [] } = useLinks(slug);
  return (
    <Listing<ClaimView>
      name="Claims"
      path="/claims"
      fixed={{ campaign: slug }}
      columns={COLUMNS}
      filters={[
        {
          name: 'link',
          label: 'Link',
          kind: 'choice',
          options: [{ value: '', label: 'All' }, ...links.map(({ id, name }) => ({ value: id, label: name }))],
        },
      ]}
      idOf={({ id }) => id}
      hrefOf={({ key }) => `/keys/${key}`}
      events={['claim']}
      empty={
        <>
          <p>Nobody claimed a key yet.</p>
          <Button component={Link} href={`/campaigns/${slug}/links`}>
            Share a link
          </Button>
        </>
      }
    />
  );
}
