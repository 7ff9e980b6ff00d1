import { Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { z } from 'zod';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { LinkView } from '#libs/contracts/admin/claims.js';
import type { revokedKeysAnswer } from '#libs/contracts/admin/safety.js';
import { nanoOf } from '../../../shared/money.ts';
import { setStatus } from '../../api/campaign.ts';
import { write } from '../../api/client.ts';
import { isAmount, nanoOfAmount, showUsd, writeNano } from '../../kit/amounts.ts';
import { ActDialog } from '../../kit/dialog.tsx';
import { FaultNote } from '../../kit/fault-note.tsx';

interface Props {
  campaign: CampaignView;
  isOpen: boolean;
  close: () => void;
}

export function TopUpDialog({ campaign, isOpen, close }: Props) {
  const [amount, setAmount] = useState('10.00');
  const isReady = isAmount(amount) && nanoOfAmount(amount) > 0n;
  return (
    <ActDialog
      isOpen={isOpen}
      close={close}
      title={`Top up ${campaign.name}`}
      act="Top up"
      isReady={isReady}
      run={() => write('POST', `/campaigns/${campaign.slug}/fund`, { amount_usd: amount.trim() })}
      done={`${campaign.name} has a larger budget.`}
    >
      <TextInput
        label="Dollars to add"
        inputMode="decimal"
        value={amount}
        data-autofocus
        error={isReady ? undefined : 'Write an amount such as 10.00'}
        onChange={(event) => setAmount(event.currentTarget.value)}
      />
      {isReady && (
        <Text size="sm">
          The budget goes from {showUsd(campaign.budget_usd)} to{' '}
          <b>{showUsd(writeNano(nanoOf(campaign.budget_usd) + nanoOfAmount(amount)))}</b>. Keys that exist keep theirs.
        </Text>
      )}
    </ActDialog>
  );
}

export function PauseDialog({
  isOpen,
  close,
  links,
  toStatus,
}: Props & { links: readonly LinkView[]; toStatus: 'open' | 'paused' }) {
  const concerned = links.filter(({ status }) => status === (toStatus === 'paused' ? 'open' : 'paused'));
  const count = concerned.length === 1 ? 'one link' : `${concerned.length} links`;
  return (
    <ActDialog
      isOpen={isOpen}
      close={close}
      title={toStatus === 'paused' ? 'Pause all links' : 'Open all paused links'}
      act={toStatus === 'paused' ? `Pause ${count}` : `Open ${count}`}
      isReady={concerned.length > 0}
      run={() => setStatus(concerned, toStatus)}
      done={toStatus === 'paused' ? 'The links give no more keys.' : 'The links give keys again.'}
    >
      <Text size="sm">
        {toStatus === 'paused'
          ? 'A paused link gives no keys and says so. Keys that exist still work.'
          : 'The links give keys again, up to their own limits.'}
      </Text>
    </ActDialog>
  );
}

export function CloseDialog({ campaign, isOpen, close }: Props) {
  const isClosed = campaign.status === 'closed';
  return (
    <ActDialog
      isOpen={isOpen}
      close={close}
      title={isClosed ? 'Open the campaign again' : 'Close the campaign'}
      act={isClosed ? 'Open it' : 'Close it'}
      danger={!isClosed}
      run={() => write('PATCH', `/campaigns/${campaign.slug}`, { status: isClosed ? 'active' : 'closed' })}
      done={isClosed ? 'The campaign is open.' : 'The campaign is closed.'}
    >
      <Text size="sm">
        {isClosed
          ? 'Its keys make calls again, and its links give keys again.'
          : `Its live keys (${campaign.keys.active}) make no more calls, and its links give no more keys. Running calls end as usual. You can open it again.`}
      </Text>
    </ActDialog>
  );
}

type Revoked = z.output<typeof revokedKeysAnswer>['data'];

export function RevokeDialog({ campaign, isOpen, close }: Props) {
  const path = `/campaigns/${campaign.slug}/revoke-keys`;
  const count = useQuery({
    queryKey: ['revoke-count', campaign.slug],
    queryFn: async () => (await write<{ data: Revoked }>('POST', path, { dry_run: true, note: 'a count' })).data,
    enabled: isOpen,
    staleTime: 0,
    gcTime: 0,
  });
  const keys = count.data?.keys === 1 ? '1 key' : `${count.data?.keys} keys`;
  return (
    <ActDialog
      isOpen={isOpen}
      close={close}
      title="Revoke all keys"
      act={count.data ? `Revoke ${keys}` : 'Counting…'}
      danger
      note="required"
      typed={campaign.slug}
      isReady={(count.data?.keys ?? 0) > 0}
      run={(note) => write('POST', path, { dry_run: false, note })}
      done="The keys are revoked."
    >
      <FaultNote error={count.error} retry={() => void count.refetch()} />
      <Text size="sm">
        {count.data
          ? `${keys} ${count.data.keys === 1 ? 'ends' : 'end'} for ever, and ${showUsd(count.data.returned_usd)} go back to the campaign. Running calls end as usual. Nobody can undo this.`
          : 'Daypass counts the keys first.'}
      </Text>
    </ActDialog>
  );
}
