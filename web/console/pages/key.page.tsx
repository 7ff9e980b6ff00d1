import { Button, Menu, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useParams, useSearchParams } from 'wouter';
import type { CallView, KeyView, NewKeyView, StrikeView, TransferView } from '#libs/contracts/admin/answers.js';
import type { ActView } from '#libs/contracts/admin/safety.js';
import { write } from '../api/client.ts';
import { useKey } from '../api/safety.ts';
import { useLeaveGuard } from '../frame/leaving.ts';
import { ACT_COLUMNS } from '../kit/act-list.tsx';
import { showUsd } from '../kit/amounts.ts';
import { LeftBar } from '../kit/bar.tsx';
import { CALL_COLUMNS, CALL_FILTERS, callHref } from '../kit/call-columns.tsx';
import { CopyField } from '../kit/copy-field.tsx';
import { ActDialog } from '../kit/dialog.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Listing } from '../kit/listing.tsx';
import type { Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { STRIKE_COLUMNS } from '../kit/strikes.tsx';
import { Tabs } from '../kit/tabs.tsx';
import { TermForm } from '../kit/term-form.tsx';
import { When } from '../kit/when.tsx';

const TABS = [
  ['now', 'Now'],
  ['calls', 'Calls'],
  ['transfers', 'Transfers'],
  ['strikes', 'Strikes'],
  ['acts', 'Acts'],
] as const;

export default function KeyPage() {
  const { id, tab = 'now' } = useParams<{ id: string; tab?: string }>();
  return <Key key={id} id={id} tab={TABS.some(([name]) => name === tab) ? tab : 'now'} />;
}

function Key({ id, tab }: { id: string; tab: string }) {
  const { data: key, error, refetch } = useKey(id);
  const [fresh, setFresh] = useState<string | null>(null);
  useLeaveGuard(`/keys/${id}`, fresh === null ? null : 'The new key is shown here only. Leave without it?');
  return (
    <>
      <div className="page-head">
        <Title order={1}>{key ? <>Key {key.prefix}…</> : 'Key'}</Title>
        {key && <Status of={key.status} />}
        {key && <Acts of={key} show={setFresh} />}
      </div>
      {fresh !== null && (
        <section className="card fresh" aria-labelledby="fresh">
          <h2 id="fresh">The new key</h2>
          <Text size="sm" mb="sm">
            It is shown here only, this one time. The old key is dead from now on. Give the new one to its holder.
          </Text>
          <CopyField text={fresh} name="the new key" />
          <Button variant="subtle" mt="sm" onClick={() => setFresh(null)}>
            I have it
          </Button>
        </section>
      )}
      <Tabs name="Key" base={`/keys/${id}`} tabs={TABS} current={tab} />
      <FaultNote error={error} retry={() => void refetch()} />
      {key && tab === 'now' && <Now of={key} />}
      {key && tab === 'calls' && <Calls id={id} />}
      {key && tab === 'transfers' && (
        <Listing<TransferView>
          name="Transfers"
          path={`/keys/${id}/transfers`}
          columns={TRANSFERS}
          idOf={(row) => row.id}
          events={['key']}
          empty={<p>Nothing is booked for this key yet.</p>}
        />
      )}
      {key && tab === 'strikes' && (
        <Listing<StrikeView>
          name="Strikes"
          path={`/keys/${id}/strikes`}
          columns={STRIKE_COLUMNS}
          idOf={({ request_id }) => request_id}
          hrefOf={({ request_id }) => `/calls/${request_id}`}
          events={['strike']}
          empty={<p>No input of this key was refused.</p>}
        />
      )}
      {key && tab === 'acts' && (
        <Listing<ActView>
          name="Acts"
          path="/acts"
          fixed={{ subject: id }}
          columns={ACT_COLUMNS}
          idOf={(row) => row.id}
          empty={<p>Nobody did anything about this key.</p>}
        />
      )}
    </>
  );
}

function Calls({ id }: { id: string }) {
  const [params] = useSearchParams();
  return (
    <Listing<CallView>
      name="Calls"
      path="/requests"
      fixed={{ key: id }}
      columns={CALL_COLUMNS.filter(({ title }) => title !== 'Key')}
      filters={CALL_FILTERS}
      idOf={(row) => row.id}
      hrefOf={(row) => callHref(row.id, params, { key: id })}
      events={['flag']}
      empty={<p>This key made no calls yet.</p>}
    />
  );
}

/** Each booking with both of its sides, as the ledger has them. */
const TRANSFERS: readonly Column<TransferView>[] = [
  { title: 'Time', cell: ({ at }) => <When at={at} /> },
  { title: 'Kind', cell: ({ kind }) => kind },
  { title: 'For the key', cell: ({ amount_usd }) => showUsd(amount_usd), isFigure: true },
  {
    title: 'Entries',
    cell: ({ entries }) => (
      <ul className="entries">
        {entries.map(({ account, amount_usd }) => (
          <li key={account}>
            <code>{account}</code> <span>{showUsd(amount_usd)}</span>
          </li>
        ))}
      </ul>
    ),
  },
  {
    title: 'Call',
    cell: ({ request_id }) =>
      request_id === null ? (
        <span className="dimmed">none</span>
      ) : (
        <Link href={`/calls/${request_id}`}>{request_id}</Link>
      ),
  },
];

function Now({ of: key }: { of: KeyView }) {
  return (
    <div className="stack">
      <dl className="figures">
        <div>
          <dt>Left</dt>
          <dd>
            <LeftBar budget={key.budget_usd} available={key.available_usd} />
          </dd>
        </div>
        <div>
          <dt>Spent</dt>
          <dd>{showUsd(key.spent_usd)}</dd>
        </div>
        <div>
          <dt>Held by running calls</dt>
          <dd>{showUsd(key.held_usd)}</dd>
        </div>
        <div>
          <dt>Strikes</dt>
          <dd>{key.strikes}</dd>
        </div>
      </dl>
      <section className="card" aria-labelledby="origin">
        <h2 id="origin">Where it comes from</h2>
        <dl className="facts">
          {key.status_note !== null && (
            <>
              <dt>Note</dt>
              <dd>{key.status_note}</dd>
            </>
          )}
          <dt>Label</dt>
          <dd>{key.label || 'none'}</dd>
          <dt>Campaign</dt>
          <dd>
            <Link href={`/campaigns/${key.campaign}`}>{key.campaign}</Link>
          </dd>
          <dt>Claimed by</dt>
          <dd>
            <Link href={`/visitors/${key.claimant ?? key.id}`}>
              {key.claimant ?? 'nobody said; the key is its own visitor'}
            </Link>
          </dd>
          <dt>Claim link</dt>
          <dd>
            {key.link === null ? (
              'none: an operator made it'
            ) : (
              <Link href={`/campaigns/${key.campaign}/claims?link=${key.link}`}>{key.link}</Link>
            )}
          </dd>
          <dt>Made</dt>
          <dd>
            <When at={key.created_at} />
          </dd>
          <dt>First call</dt>
          <dd>
            <When at={key.first_used_at} none="none yet" />
          </dd>
          <dt>Last call</dt>
          <dd>
            <When at={key.last_call_at} none="none yet" />
          </dd>
          <dt>Ends</dt>
          <dd>
            <When at={key.expires_at} none="never" />
          </dd>
          <dt>Id</dt>
          <dd>
            <code>{key.id}</code>
          </dd>
        </dl>
      </section>
      <TermForm key={key.updated_at} of={key} />
    </div>
  );
}

type Act = 'suspend' | 'reinstate' | 'revoke' | 'rotate';
const ACTS: Record<Act, { title: string; act: string; text: string; done: string }> = {
  suspend: {
    title: 'Suspend the key',
    act: 'Suspend',
    text: 'It makes no calls until you reinstate it. Running calls end as usual.',
    done: 'The key is suspended.',
  },
  reinstate: {
    title: 'Reinstate the key',
    act: 'Reinstate',
    text: 'Its calls work again, and its strikes are forgotten.',
    done: 'The key works again.',
  },
  revoke: {
    title: 'Revoke the key',
    act: 'Revoke',
    text: 'It ends for ever. What is left goes back to the campaign. Nobody can undo this.',
    done: 'The key is revoked.',
  },
  rotate: {
    title: 'Replace the virtual key',
    act: 'Replace',
    text: 'The old key is dead at once. The new one has the same budget, and is shown one time.',
    done: 'The key is replaced.',
  },
};

function Acts({ of: key, show }: { of: KeyView; show: (fresh: string) => void }) {
  const [act, setAct] = useState<Act | null>(null);
  if (key.status === 'revoked') return null;
  const isSuspended = key.status === 'suspended';
  return (
    <>
      <Button
        variant={isSuspended ? 'filled' : 'default'}
        onClick={() => setAct(isSuspended ? 'reinstate' : 'suspend')}
      >
        {isSuspended ? 'Reinstate' : 'Suspend'}
      </Button>
      <Menu position="bottom-end" transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <Button variant="default">More</Button>
        </Menu.Target>
        <Menu.Dropdown aria-label="More about the key">
          <Menu.Item onClick={() => setAct('rotate')}>Replace the virtual key</Menu.Item>
          {!isSuspended && <Menu.Item onClick={() => setAct('reinstate')}>Forget its strikes</Menu.Item>}
          <Menu.Item onClick={() => setAct('revoke')}>Revoke</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {act !== null && (
        <ActDialog
          isOpen
          close={() => setAct(null)}
          title={ACTS[act].title}
          act={ACTS[act].act}
          danger={act === 'revoke'}
          note="optional"
          run={async (note) => {
            const after = await write<KeyView | NewKeyView>(
              'POST',
              `/keys/${key.id}/${act}`,
              note === undefined ? {} : { note },
            );
            if ('key' in after) show(after.key);
          }}
          done={ACTS[act].done}
        >
          <Text size="sm">{ACTS[act].text}</Text>
        </ActDialog>
      )}
    </>
  );
}
