import { Button, NativeSelect, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { LinkView, WaitingView } from '#libs/contracts/admin/claims.js';
import { useLinks } from '../../api/campaign.ts';
import { write } from '../../api/client.ts';
import { ActDialog } from '../../kit/dialog.tsx';
import { wholeOf } from '../../kit/draft.ts';
import { Listing } from '../../kit/listing.tsx';
import type { Column } from '../../kit/rows.tsx';
import { When } from '../../kit/when.tsx';

const INVITED_MAX = 100;
const COLUMNS: readonly Column<WaitingView>[] = [
  { title: 'Address', cell: ({ email }) => email ?? <span className="dimmed">erased</span> },
  { title: 'Waits since', cell: ({ at }) => <When at={at} /> },
  { title: 'Invited', cell: ({ invited_at }) => <When at={invited_at} none="not yet" /> },
  { title: 'Mail', cell: (row) => mailWords(row) },
  { title: 'Visitor', cell: ({ claimant }) => <Link href={`/visitors/${claimant}`}>{claimant}</Link> },
];

function mailWords({ invited_at, mailed_at, code }: WaitingView): string {
  if (invited_at === null) return '–';
  if (code === 'used') return 'its code made a key';
  if (code !== 'free') return `its code is ${code ?? 'gone'}`;
  return mailed_at === null ? 'on its way' : 'sent';
}

/** Who waits for a key. An invitation is a mail with a one-time code. */
export function WaitlistTab({ campaign: { slug, claim } }: { campaign: CampaignView }) {
  const { data: links = [] } = useLinks(slug);
  const [isInviting, setInviting] = useState(false);
  const withCodes = links.filter(({ gates, status }) => gates.includes('code') && status !== 'closed');
  const isOn = (claim as { waitlist?: boolean } | null)?.waitlist === true;
  return (
    <>
      <Listing<WaitingView>
        name="Waitlist"
        path="/waitlist"
        fixed={{ campaign: slug }}
        columns={COLUMNS}
        filters={[
          {
            name: 'waiting',
            label: 'Who',
            kind: 'choice',
            options: [
              { value: '', label: 'All' },
              { value: 'true', label: 'Not invited yet' },
            ],
          },
        ]}
        idOf={({ id }) => id}
        actions={
          <Button onClick={() => setInviting(true)} disabled={withCodes.length === 0}>
            Invite
          </Button>
        }
        empty={
          <>
            <p>
              {isOn
                ? 'Nobody waits. Visitors leave an address where no key is left.'
                : 'The waitlist is off. Switch it on, and visitors leave an address where no key is left.'}
            </p>
            {!isOn && (
              <Button component={Link} href={`/campaigns/${slug}/settings`}>
                Go to the settings
              </Button>
            )}
          </>
        }
      />
      {withCodes.length === 0 && (
        <Text size="sm" mt="md">
          An invitation has a one-time code. Make a link for one-time codes first, with enough keys of its own.
        </Text>
      )}
      {isInviting && <InviteDialog links={withCodes} close={() => setInviting(false)} />}
    </>
  );
}

function InviteDialog({ links, close }: { links: readonly LinkView[]; close: () => void }) {
  const [link, setLink] = useState(links[0]!.id);
  const [text, setText] = useState('10');
  const count = wholeOf(text, 1, INVITED_MAX);
  const chosen = links.find(({ id }) => id === link);
  return (
    <ActDialog
      isOpen
      close={close}
      title="Invite from the waitlist"
      act="Send the mails"
      isReady={count !== null}
      run={() => write('POST', '/waitlist/invite', { link, count })}
      done="The mails go out now."
    >
      <Text size="sm">Those who wait longest get a mail with a one-time code.</Text>
      <TextInput
        label="How many"
        inputMode="numeric"
        data-autofocus
        value={text}
        error={count === null ? `From 1 to ${INVITED_MAX}` : undefined}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <NativeSelect
        label="Link of their codes"
        description={chosen && `It has ${chosen.max_claims - chosen.claimed} keys left.`}
        data={links.map(({ id, name }) => ({ value: id, label: name }))}
        value={link}
        onChange={(event) => setLink(event.currentTarget.value)}
      />
    </ActDialog>
  );
}
