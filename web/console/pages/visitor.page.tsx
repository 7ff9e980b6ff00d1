import { Button, Menu, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useParams, useSearchParams } from 'wouter';
import type { CallView, KeyView, StrikeView } from '#libs/contracts/admin/answers.js';
import type { ClaimView } from '#libs/contracts/admin/claims.js';
import type { ActView, VisitorView } from '#libs/contracts/admin/safety.js';
import { isClaimant, useVisitor, useVisitorKeys } from '../api/safety.ts';
import { write } from '../api/client.ts';
import { ACT_COLUMNS } from '../kit/act-list.tsx';
import { showUsd } from '../kit/amounts.ts';
import { CALL_COLUMNS, CALL_FILTERS, callHref } from '../kit/call-columns.tsx';
import { ActDialog } from '../kit/dialog.tsx';
import { EraseDialog } from '../kit/erase-dialog.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { KEY_COLUMNS } from '../kit/key-columns.tsx';
import { Listing } from '../kit/listing.tsx';
import type { Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { STRIKE_COLUMNS } from '../kit/strikes.tsx';
import { Tabs } from '../kit/tabs.tsx';
import { refusedOf, visitorState } from '../kit/visitor.ts';
import { When } from '../kit/when.tsx';

const TABS = [
  ['keys', 'Keys'],
  ['calls', 'Calls'],
  ['strikes', 'Strikes'],
  ['claims', 'Claims'],
  ['acts', 'Acts'],
] as const;

const KINDS: Record<VisitorView['kind'], string> = {
  key: 'a key that nobody claimed by name',
  label: 'named by an operator',
  github: 'GitHub',
  email: 'e-mail',
};

const CLAIMS: readonly Column<ClaimView>[] = [
  { title: 'Key', cell: ({ key_prefix }) => <code>{key_prefix}…</code> },
  { title: 'Claimed', cell: ({ at }) => <When at={at} /> },
  { title: 'Campaign', cell: ({ campaign }) => <Link href={`/campaigns/${campaign}/claims`}>{campaign}</Link> },
  { title: 'Link', cell: ({ link_name }) => link_name },
];

export default function VisitorPage() {
  const { id, tab = 'keys' } = useParams<{ id: string; tab?: string }>();
  const { data: visitor, error, refetch } = useVisitor(id);
  const current = TABS.some(([name]) => name === tab) ? tab : 'keys';
  return (
    <>
      <div className="page-head">
        <Title order={1}>{visitor?.label ?? `Visitor ${id.slice(0, 12)}…`}</Title>
        {visitor && <Status of={visitorState(visitor)} />}
        {visitor && <Acts of={visitor} />}
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {visitor && <Figures of={visitor} />}
      <Tabs name="Visitor" base={`/visitors/${id}`} tabs={TABS} current={current} />
      {visitor && current === 'keys' && <Keys id={id} />}
      {visitor && current === 'calls' && <Calls id={id} />}
      {visitor && current === 'strikes' && (
        <Listing<StrikeView>
          name="Strikes"
          path={`/visitors/${id}/strikes`}
          columns={STRIKE_COLUMNS}
          idOf={({ request_id }) => request_id}
          hrefOf={({ request_id }) => `/calls/${request_id}`}
          events={['strike']}
          empty={<p>No input of this visitor was refused.</p>}
        />
      )}
      {visitor && current === 'claims' && <Claims id={id} />}
      {visitor && current === 'acts' && (
        <Listing<ActView>
          name="Acts"
          path="/acts"
          fixed={{ subject: id }}
          columns={ACT_COLUMNS}
          idOf={(row) => row.id}
          empty={<p>Nobody did anything about this visitor as a whole. Its keys have acts of their own.</p>}
        />
      )}
    </>
  );
}

function Figures({ of: visitor }: { of: VisitorView }) {
  const refused = refusedOf(visitor);
  return (
    <>
      <dl className="figures">
        <div>
          <dt>Refused</dt>
          <dd>
            {refused?.percent ?? '–'} <small>{refused ? `${refused.counts} checks` : 'nothing was checked'}</small>
          </dd>
        </div>
        <div>
          <dt>Flagged</dt>
          <dd>
            {visitor.flagged} <small>and let through</small>
          </dd>
        </div>
        <div>
          <dt>Calls</dt>
          <dd>{visitor.calls}</dd>
        </div>
        <div>
          <dt>Spent</dt>
          <dd>{showUsd(visitor.spent_usd)}</dd>
        </div>
        <div>
          <dt>Live keys</dt>
          <dd>
            {visitor.keys_active} of {visitor.keys}
          </dd>
        </div>
      </dl>
      <p className="small dimmed visitor-facts">
        <code>{visitor.id}</code> · {KINDS[visitor.kind]} · first call <When at={visitor.first_at} none="none" short />{' '}
        · last call <When at={visitor.last_at} none="none" short />
        {visitor.blocked_at !== null && (
          <>
            {' '}
            · may claim no more since <When at={visitor.blocked_at} />
          </>
        )}
        {visitor.erased_at !== null && (
          <>
            {' '}
            · texts erased <When at={visitor.erased_at} />
          </>
        )}
      </p>
    </>
  );
}

function Keys({ id }: { id: string }) {
  const { data: keys, error, refetch } = useVisitorKeys(isClaimant(id) ? undefined : id);
  if (isClaimant(id)) {
    return (
      <Listing<KeyView>
        name="Keys"
        path="/keys"
        fixed={{ claimant: id }}
        columns={KEY_COLUMNS}
        idOf={(row) => row.id}
        hrefOf={(row) => `/keys/${row.id}`}
        events={['key']}
        empty={<p>This visitor has no key.</p>}
      />
    );
  }
  return (
    <>
      <FaultNote error={error} retry={() => void refetch()} />
      {keys?.map((key) => (
        <p key={key.id} className="card">
          <Link href={`/keys/${key.id}`}>
            <code>{key.prefix}…</code> {key.label}
          </Link>{' '}
          <Status of={key.status} />
        </p>
      ))}
    </>
  );
}

function Claims({ id }: { id: string }) {
  if (!isClaimant(id)) {
    return (
      <p className="empty">Nobody said who holds this key, so that no other claim is known to be of the same person.</p>
    );
  }
  return (
    <Listing<ClaimView>
      name="Claims"
      path="/claims"
      fixed={{ claimant: id }}
      columns={CLAIMS}
      idOf={(row) => row.id}
      hrefOf={({ key }) => `/keys/${key}`}
      events={['claim']}
      empty={<p>This visitor claimed nothing by a link.</p>}
    />
  );
}

function Calls({ id }: { id: string }) {
  const [params] = useSearchParams();
  return (
    <Listing<CallView>
      name="Calls"
      path="/requests"
      fixed={{ visitor: id }}
      columns={CALL_COLUMNS}
      filters={CALL_FILTERS}
      idOf={(row) => row.id}
      hrefOf={(row) => callHref(row.id, params, { visitor: id })}
      events={['flag']}
      empty={<p>This visitor made no calls yet.</p>}
    />
  );
}

type Act = 'suspend' | 'reinstate' | 'block' | 'unblock';
const ACTS: Record<Act, { title: string; act: string; text: string; done: string }> = {
  suspend: {
    title: 'Suspend everywhere',
    act: 'Suspend all keys',
    text: 'All live keys of this visitor make no more calls, in each campaign, and it claims no more. You can reinstate it.',
    done: 'All keys of the visitor are suspended.',
  },
  reinstate: {
    title: 'Reinstate the visitor',
    act: 'Reinstate all keys',
    text: 'All suspended keys of this visitor work again, and its strikes are forgotten.',
    done: 'The keys of the visitor work again.',
  },
  block: {
    title: 'Block the visitor',
    act: 'Block',
    text: 'It may claim no more keys. The keys that it has stay as they are.',
    done: 'The visitor may claim no more.',
  },
  unblock: {
    title: 'Unblock the visitor',
    act: 'Unblock',
    text: 'It may claim keys again, as each link allows.',
    done: 'The visitor may claim again.',
  },
};

function Acts({ of: visitor }: { of: VisitorView }) {
  const [act, setAct] = useState<Act | 'erase' | null>(null);
  const close = (): void => setAct(null);
  const mayBlock = isClaimant(visitor.id);
  return (
    <>
      <Button color="red" onClick={() => setAct('suspend')} disabled={visitor.keys_active === 0}>
        Suspend everywhere
      </Button>
      <Button variant="default" onClick={() => setAct('reinstate')} disabled={visitor.keys === 0}>
        Reinstate
      </Button>
      <Menu position="bottom-end" transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <Button variant="default">More</Button>
        </Menu.Target>
        <Menu.Dropdown aria-label="More about the visitor">
          {mayBlock && (
            <Menu.Item onClick={() => setAct(visitor.blocked_at === null ? 'block' : 'unblock')}>
              {visitor.blocked_at === null ? 'Block: no more claims' : 'Unblock: may claim again'}
            </Menu.Item>
          )}
          <Menu.Item onClick={() => setAct('erase')} disabled={visitor.erased_at !== null}>
            Erase prompts and answers
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {act === 'erase' && <EraseDialog visitor={visitor.id} close={close} />}
      {act !== null && act !== 'erase' && (
        <ActDialog
          isOpen
          close={close}
          title={ACTS[act].title}
          act={ACTS[act].act}
          danger={act === 'suspend' || act === 'block'}
          note="optional"
          run={(note) => write('POST', `/visitors/${visitor.id}/${act}`, note === undefined ? {} : { note })}
          done={ACTS[act].done}
        >
          <Text size="sm">{ACTS[act].text}</Text>
        </ActDialog>
      )}
    </>
  );
}
