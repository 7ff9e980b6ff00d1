import { NativeSelect, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { BulkOutcome } from '#libs/contracts/admin/answers.js';
import { write, type Query } from '../api/client.ts';
import { isAmount, nanoOfAmount } from './amounts.ts';
import { ActDialog } from './dialog.tsx';
import { FaultNote } from './fault-note.tsx';

export const BULK_ACTS = {
  suspend: { title: 'Suspend keys', act: 'Suspend', text: 'A suspended key makes no calls until you reinstate it.' },
  reinstate: {
    title: 'Reinstate keys',
    act: 'Reinstate',
    text: 'Their calls work again, and their strikes are forgotten.',
  },
  revoke: {
    title: 'Revoke keys',
    act: 'Revoke',
    text: 'The keys end for ever. What is left goes back to the campaign. Nobody can undo this.',
  },
  extend: {
    title: 'Give keys more time',
    act: 'Extend',
    text: 'Each key ends later; an expired one works again from now on.',
  },
  fund: { title: 'Top up keys', act: 'Top up', text: 'Each key gets so much more, out of its campaign’s budget.' },
} as const;
export type BulkAct = keyof typeof BULK_ACTS;

/** Which keys: these, or all that a filter finds. */
export type BulkChoice = { ids: readonly string[] } | { filter: Query };

const TIMES = [
  { value: '3600', label: 'One hour' },
  { value: '86400', label: 'One day' },
  { value: '604800', label: 'One week' },
  { value: '2592000', label: '30 days' },
];
const FAILED_SHOWN = 5;
const keysIn = (count: number): string => (count === 1 ? 'one key' : `${count} keys`);

interface Props {
  action: BulkAct | null;
  choice: BulkChoice;
  close: () => void;
  onDone: () => void;
}

/** Counts first, by a dry run of the same act, and then acts on so many keys. */
export function BulkDialog({ action, choice, close, onDone }: Props) {
  const [seconds, setSeconds] = useState('86400');
  const [amount, setAmount] = useState('0.50');
  const hasAmount = isAmount(amount) && nanoOfAmount(amount) > 0n;
  const isComplete = action !== null && (action !== 'fund' || hasAmount);
  const body = {
    ...choice,
    action,
    ...(action === 'extend' ? { ttl_seconds: Number(seconds) } : {}),
    ...(action === 'fund' ? { amount_usd: amount.trim() } : {}),
  };
  const count = useQuery({
    queryKey: ['bulk-count', body],
    queryFn: async () => (await write<{ data: BulkOutcome }>('POST', '/keys/bulk', { ...body, dry_run: true })).data,
    enabled: isComplete,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  if (action === null) return null;
  const { title, act, text } = BULK_ACTS[action];
  const concerned = count.data === undefined ? 0 : count.data.changed;
  return (
    <ActDialog
      isOpen
      close={close}
      title={title}
      act={isComplete && count.data ? `${act} ${keysIn(concerned)}` : 'Counting…'}
      danger={action === 'revoke'}
      note="optional"
      isReady={isComplete && concerned > 0}
      run={async (note) => {
        const { data } = await write<{ data: BulkOutcome }>('POST', '/keys/bulk', {
          ...body,
          ...(note === undefined ? {} : { note }),
          dry_run: false,
        });
        if (data.changed === 0 && data.failed.length > 0)
          throw new Error(`Nothing was changed: ${data.failed[0]!.why}`);
      }}
      done={`${keysIn(concerned)}: done.`}
      onDone={onDone}
    >
      <Text size="sm">{text}</Text>
      {action === 'extend' && (
        <NativeSelect
          label="More time"
          data={TIMES}
          value={seconds}
          onChange={(event) => setSeconds(event.currentTarget.value)}
        />
      )}
      {action === 'fund' && (
        <TextInput
          label="Dollars for each key"
          inputMode="decimal"
          value={amount}
          error={hasAmount ? undefined : 'Write an amount such as 0.50'}
          onChange={(event) => setAmount(event.currentTarget.value)}
        />
      )}
      <FaultNote error={count.error} retry={() => void count.refetch()} />
      <output>{isComplete && count.data && <Outcome of={count.data} />}</output>
    </ActDialog>
  );
}

function Outcome({ of: { matched, changed, remaining, failed } }: { of: BulkOutcome }) {
  return (
    <>
      <Text size="sm">
        {keysIn(matched)} found, <b>{keysIn(changed)}</b> would change.
        {remaining > 0 && ` ${keysIn(remaining)} more need another round.`}
      </Text>
      {failed.length > 0 && (
        <ul className="small">
          {failed.slice(0, FAILED_SHOWN).map(({ id, why }) => (
            <li key={id}>
              <code>{id}</code>: {why}
            </li>
          ))}
          {failed.length > FAILED_SHOWN && <li>{failed.length - FAILED_SHOWN} more</li>}
        </ul>
      )}
    </>
  );
}
