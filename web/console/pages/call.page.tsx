import { Button, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useLocation, useParams, useSearchParams } from 'wouter';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import { around, useCall } from '../api/safety.ts';
import { usageWords } from '../../shared/usage.ts';
import { useLatestShortcuts } from '../frame/latest.ts';
import { showUsd } from '../kit/amounts.ts';
import { CALL_FILTER_NAMES, callHref } from '../kit/call-columns.tsx';
import { CallTexts, useOpening } from '../kit/call-texts.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Verdict } from '../kit/verdict.tsx';
import { When } from '../kit/when.tsx';

export default function CallPage() {
  const { id } = useParams<{ id: string }>();
  // Another call is another page: no text of the one before stays.
  return <Call key={id} id={id} />;
}

function Call({ id }: { id: string }) {
  const [params] = useSearchParams();
  const [, navigate] = useLocation();
  const client = useQueryClient();
  const { data: call, error, refetch } = useCall(id);
  const filter = Object.fromEntries(CALL_FILTER_NAMES.map((name) => [name, params.get(name) ?? undefined]));
  const beside = around(id, filter);
  const { data: neighbours } = useQuery(beside);
  const go = async (side: 'newer' | 'older'): Promise<void> => {
    const to = (await client.fetchQuery(beside))[side];
    if (to !== null) navigate(callHref(to, params));
  };
  useLatestShortcuts([
    { keys: 'j', text: 'The next older call', act: () => void go('older') },
    { keys: 'k', text: 'The next newer call', act: () => void go('newer') },
  ]);
  const isFlagged = call?.reviewed !== null;
  return (
    <>
      <div className="page-head">
        <Title order={1}>Call</Title>
        {isFlagged && call && (
          <Button component={Link} href={`/review/${id}`} variant="default">
            Review
          </Button>
        )}
        <Side to={neighbours?.newer} word="Newer" params={params} />
        <Side to={neighbours?.older} word="Older" params={params} />
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {call && <Details call={call} />}
    </>
  );
}

function Side({ to, word, params }: { to: string | null | undefined; word: string; params: URLSearchParams }) {
  if (!to) {
    return (
      <Button variant="default" disabled>
        {word}
      </Button>
    );
  }
  return (
    <Button component={Link} variant="default" href={callHref(to, params)}>
      {word}
    </Button>
  );
}

function Details({ call }: { call: RequestView }) {
  const opening = useOpening(call.id);
  return (
    <div className="stack">
      <section className="card" aria-labelledby="asked">
        <h2 id="asked">What was asked</h2>
        <dl className="facts">
          <dt>Time</dt>
          <dd>
            <When at={call.at} />
          </dd>
          <dt>Request id</dt>
          <dd>
            <code>{call.id}</code>
          </dd>
          <dt>Key</dt>
          <dd>
            <Link href={`/keys/${call.key}`}>{call.key}</Link>
          </dd>
          <dt>Visitor</dt>
          <dd>
            <Link href={`/visitors/${call.visitor}`}>{call.visitor}</Link>
          </dd>
          <dt>Campaign</dt>
          <dd>{call.campaign === null ? 'gone' : <Link href={`/campaigns/${call.campaign}`}>{call.campaign}</Link>}</dd>
          <dt>API and model</dt>
          <dd>
            {call.endpoint}, {call.model}
            {call.stream ? ', as a stream' : ''}
          </dd>
        </dl>
        <CallTexts call={call} opening={opening} />
      </section>
      <section className="card" aria-labelledby="checks">
        <h2 id="checks">Checks</h2>
        {call.checks.length === 0 && <p className="dimmed">No guard judged this call.</p>}
        {call.checks.map((check) => (
          <Verdict key={check.id} check={check} />
        ))}
        <details className="more small">
          <summary>The policy that held, version {call.policy_version}</summary>
          <pre className="json">{JSON.stringify(call.policy, null, 2)}</pre>
        </details>
      </section>
      <section className="card" aria-labelledby="bookings">
        <h2 id="bookings">Bookings</h2>
        {call.transfers.length === 0 && <p className="dimmed">Nothing is booked: the call never reached a model.</p>}
        {call.transfers.length > 0 && (
          <table className="rows">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Kind</th>
                <th scope="col">Used</th>
                <th scope="col" data-figure>
                  Paid
                </th>
                <th scope="col">Id</th>
              </tr>
            </thead>
            <tbody>
              {call.transfers.map(({ id, kind, at, usage, paid_usd }) => (
                <tr key={id}>
                  <td data-title="Time">
                    <When at={at} />
                  </td>
                  <td data-title="Kind">{kind}</td>
                  <td data-title="Used">{usageWords(usage) || '–'}</td>
                  <td data-title="Paid" data-figure>
                    {showUsd(paid_usd)}
                  </td>
                  <td data-title="Id">
                    <code>{id}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
    </div>
  );
}
