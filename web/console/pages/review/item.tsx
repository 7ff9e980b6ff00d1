import { Button, Kbd, TextInput, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import type { KeyView } from '#libs/contracts/admin/answers.js';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import type { Query } from '../../api/client.ts';
import { useQueue } from '../../api/review.ts';
import {
  around,
  isClaimant,
  useCall,
  useKey,
  useVisitor,
  useVisitorKeys,
  useVisitorStrikes,
} from '../../api/safety.ts';
import { useLatestShortcuts } from '../../frame/latest.ts';
import { showUsd } from '../../kit/amounts.ts';
import { CallTexts, useOpening } from '../../kit/call-texts.tsx';
import { EraseDialog } from '../../kit/erase-dialog.tsx';
import { FaultNote } from '../../kit/fault-note.tsx';
import { Status } from '../../kit/status.tsx';
import { Strikes } from '../../kit/strikes.tsx';
import { Verdict } from '../../kit/verdict.tsx';
import { refusedShare, visitorState } from '../../kit/visitor.ts';
import { When } from '../../kit/when.tsx';
import { actOnKey, actOnVisitor, markSeen, type Decisions } from './decide.ts';

const NOTE_MAX_CHARACTERS = 1_000;

interface Props {
  id: string;
  query: Query;
  search: string;
  hrefOf: (call: string) => string;
  decisions: Decisions;
}

/** One flagged call: who sent it, what was decided and why, and what the operator does about it. */
export function ReviewItem({ id, query, search, hrefOf, decisions }: Props) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const { data: call, error, refetch } = useCall(id);
  const { data: key } = useKey(call?.key);
  const { data: keys = [] } = useVisitorKeys(call?.visitor);
  const [note, setNote] = useState('');
  const [isErasing, setErasing] = useState(false);
  const noteField = useRef<HTMLInputElement>(null);
  const title = useRef<HTMLHeadingElement>(null);
  const opening = useOpening(id);
  const beside = around(id, query);
  useQuery({ ...beside, staleTime: Infinity });
  useEffect(() => title.current?.focus(), []);

  const back = `/review${search === '' ? '' : `?${search}`}`;
  const leave = (): void => {
    // Decided calls have left the queue meanwhile.
    client.removeQueries({ queryKey: ['review-queue'] });
    navigate(back);
  };
  const go = async (side: 'newer' | 'older'): Promise<void> => {
    const to = (await client.fetchQuery({ ...beside, staleTime: Infinity }))[side];
    if (to !== null) navigate(hrefOf(to));
  };
  const short = key ? `${key.prefix}…` : 'the key';
  // The call names the key: nobody waits for the rest of it.
  const isLive = call !== undefined && key?.status !== 'revoked';
  const canSuspend = isLive && key?.status !== 'suspended';
  const hadSuspended = keys.some(({ status }) => status === 'suspended');
  const suspend = (): void => {
    if (!canSuspend) return;
    decisions.decide({
      said: `The key ${short} is suspended.`,
      act: () => actOnKey(call.key, 'suspend', note),
      undo: () => actOnKey(call.key, 'reinstate', 'the suspension was taken back'),
    });
  };
  const pardon = (): void => {
    if (!isLive) return;
    const wasSuspended = key?.status === 'suspended';
    decisions.decide({
      said: `Pardoned: the key ${short} works, and its strikes are forgotten.`,
      act: () => actOnKey(call.key, 'reinstate', note),
      ...(wasSuspended ? { undo: () => actOnKey(call.key, 'suspend', 'the pardon was taken back') } : {}),
    });
  };
  const suspendVisitor = (): void => {
    if (call === undefined) return;
    decisions.decide({
      said: 'All keys of the visitor are suspended.',
      act: () => actOnVisitor(call.visitor, 'suspend', note),
      // To reinstate all would also reinstate what somebody suspended before.
      ...(hadSuspended ? {} : { undo: () => actOnVisitor(call.visitor, 'reinstate', 'the suspension was taken back') }),
    });
  };
  const seen = (): void =>
    decisions.decide({ said: 'Marked as seen. Nothing else follows.', act: () => markSeen(id, note) });
  const erase = (): void => {
    if (call !== undefined && call.texts !== 'erased') setErasing(true);
  };
  useLatestShortcuts([
    { keys: 'j', text: 'The next call', act: () => void go('older') },
    { keys: 'k', text: 'The call before', act: () => void go('newer') },
    { keys: 's', text: 'Suspend the key', act: suspend },
    { keys: 'p', text: 'Pardon: reinstate, and forget strikes', act: pardon },
    { keys: 'm', text: 'Mark as seen', act: seen },
    { keys: 'e', text: 'Erase prompts and answers of the visitor', act: erase },
    { keys: 'u', text: 'Undo', act: decisions.undo },
    { keys: 't', text: 'Show the text, which goes on record', act: () => opening.data ?? opening.mutate(note) },
    { keys: 'n', text: 'Write a note', act: () => noteField.current?.focus() },
    { keys: 'Escape', text: 'Back to the queue', act: leave },
  ]);
  return (
    <>
      <div className="page-head">
        <h1 ref={title} tabIndex={-1}>
          Review
        </h1>
        <Place id={id} query={query} />
        <Button variant="default" onClick={() => void go('newer')}>
          Back <Key of="K" />
        </Button>
        <Button variant="default" onClick={() => void go('older')}>
          Next <Key of="J" />
        </Button>
        <Button variant="subtle" onClick={leave}>
          Queue
        </Button>
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {call && (
        <div className="review">
          <section className="card" aria-labelledby="who">
            <Title order={2} size="h5" id="who">
              Who sent it
            </Title>
            <Who call={call} keyOf={key} keys={keys} />
          </section>
          <section className="card" aria-labelledby="verdicts">
            <h2 id="verdicts">
              <span>What was checked</span>{' '}
              <Link href={`/calls/${id}`} className="small">
                the whole call
              </Link>
            </h2>
            <p className="small dimmed">
              <When at={call.at} /> · {call.endpoint} · {call.model}
              {call.reviewed === true && ' · seen'}
            </p>
            {call.checks.map((check) => (
              <Verdict key={check.id} check={check} />
            ))}
            <CallTexts call={call} opening={opening} reason={note} />
          </section>
          <section className="card decide" aria-label="Decide">
            <TextInput
              ref={noteField}
              label="Note"
              description="It goes on record with what you decide or read."
              value={note}
              maxLength={NOTE_MAX_CHARACTERS}
              onChange={(event) => setNote(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === 'Escape') event.currentTarget.blur();
              }}
            />
            <div className="decide-acts">
              <Button color="red" onClick={suspend} disabled={!canSuspend || decisions.isBusy}>
                Suspend <Key of="S" />
              </Button>
              <Button onClick={pardon} disabled={!isLive || decisions.isBusy}>
                Pardon <Key of="P" />
              </Button>
              <Button variant="default" onClick={seen} disabled={call.reviewed !== false || decisions.isBusy}>
                Mark as seen <Key of="M" />
              </Button>
              <Button variant="outline" color="red" onClick={suspendVisitor} disabled={decisions.isBusy}>
                Suspend visitor everywhere
              </Button>
              <Button variant="outline" color="red" onClick={erase} disabled={call.texts === 'erased'}>
                Erase <Key of="E" />
              </Button>
            </div>
            <FaultNote error={decisions.error} />
            <Said decisions={decisions} />
          </section>
        </div>
      )}
      {isErasing && call && (
        <EraseDialog visitor={call.visitor} close={() => setErasing(false)} onDone={opening.reset} />
      )}
    </>
  );
}

/** The shortcut beside the word. Who hears the page gets it from the list under `?`. */
function Key({ of }: { of: string }) {
  return (
    <Kbd size="xs" ml={6} aria-hidden="true">
      {of}
    </Kbd>
  );
}

/** `2 of 9`, as far as the queue is loaded. */
function Place({ id, query }: { id: string; query: Query }) {
  const { data, hasNextPage } = useQueue(query);
  const calls = data?.pages.flatMap((page) => page.data) ?? [];
  const at = calls.findIndex((call) => call.id === id);
  if (at === -1) return null;
  return (
    <span className="dimmed">
      {at + 1} of {calls.length}
      {hasNextPage ? ' or more' : ''}
    </span>
  );
}

function Said({ decisions: { last, undo, isBusy } }: { decisions: Decisions }): ReactNode {
  return (
    <output className="decided">
      {last && (
        <>
          <span>{last.isUndone ? 'Taken back. The call stays marked as seen.' : last.said}</span>
          {last.undo && (
            <Button variant="default" onClick={undo} disabled={isBusy}>
              Undo <Key of="U" />
            </Button>
          )}
        </>
      )}
    </output>
  );
}

function Who({ call, keyOf, keys }: { call: RequestView; keyOf: KeyView | undefined; keys: readonly KeyView[] }) {
  const { data: visitor } = useVisitor(call.visitor);
  const { data: strikes } = useVisitorStrikes(call.visitor);
  return (
    <>
      <p>
        <Link href={`/visitors/${call.visitor}`}>{visitor?.label ?? call.visitor}</Link>{' '}
        {visitor && <Status of={visitorState(visitor)} />}
      </p>
      {visitor && (
        <p className="small dimmed">
          {visitor.calls} calls · {showUsd(visitor.spent_usd)} · refused {refusedShare(visitor)}
        </p>
      )}
      {keyOf && (
        <p>
          <Link href={`/keys/${keyOf.id}`}>
            <code>{keyOf.prefix}…</code>
          </Link>{' '}
          <Status of={keyOf.status} /> <span className="small dimmed">{keyOf.label}</span>
          {keyOf.status_note !== null && <span className="small dimmed"> · {keyOf.status_note}</span>}
        </p>
      )}
      <h3 className="small">Refused before</h3>
      {strikes && <Strikes of={strikes.data} current={call.id} />}
      {isClaimant(call.visitor) && (
        <>
          <h3 className="small">All keys of the visitor</h3>
          <ul className="strikes">
            {keys.map((key) => (
              <li key={key.id}>
                <Link href={`/keys/${key.id}`}>
                  <code>{key.prefix}…</code>
                </Link>{' '}
                <Status of={key.status} />{' '}
                <span className="small dimmed">
                  {key.campaign} · {showUsd(key.spent_usd)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
