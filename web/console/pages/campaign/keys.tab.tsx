import { Button } from '@mantine/core';
import { Link } from 'wouter';
import type { CampaignView, KeyView } from '#libs/contracts/admin/answers.js';
import { KEY_COLUMNS, KEY_FILTERS } from '../../kit/key-columns.tsx';
import { Listing } from '../../kit/listing.tsx';

export function KeysTab({ campaign: { slug } }: { campaign: CampaignView }) {
  return (
    <Listing<KeyView>
      name="Keys"
      path="/keys"
      fixed={{ campaign: slug }}
      columns={KEY_COLUMNS}
      filters={KEY_FILTERS}
      idOf={({ id }) => id}
      hrefOf={({ id }) => `/keys/${id}`}
      events={['key', 'claim']}
      empty={
        <>
          <p>No keys yet. Share a link, or hand keys out yourself.</p>
          <Button component={Link} href={`/campaigns/${slug}/hand-out`}>
            Hand out
          </Button>
        </>
      }
    />
  );
}
