import { Button, NativeSelect, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { LedgerProof, Reconciliation, RecordProof } from '#libs/contracts/admin/audit.js';
import type { ActView } from '#libs/contracts/admin/safety.js';
import { nanoOf } from '../../shared/money.ts';
import { get, pathOf } from '../api/client.ts';
import { ACT_COLUMNS } from '../kit/act-list.tsx';
import { showUsd } from '../kit/amounts.ts';
import { CopyField } from '../kit/copy-field.tsx';
import { localOf, timeOf, zoneName } from '../kit/draft.ts';
import { FaultNote } from '../kit/fault-note.tsx';
import { Icon } from '../kit/icon.tsx';
import { Rows, type Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { When } from '../kit/when.tsx';
import { useNow } from '../live/stream.ts';

/** A proof of millions of rows takes a quarter of an hour at most. */
const PROOF_TIMEOUT_MS = 960_000;
const ACTS_SHOWN = '10';

export default function AuditPage() {
  return (
    <div className="stack">
      <div className="page-head">
        <Title order={1}>Audit</Title>
      </div>
      <div className="grid">
        <ProofCard<LedgerProof>
          id="books"
          title="The books"
          text="Every transfer sums to zero, every call has one end, Redis has the same balances, and the provider billed no more than was booked."
          path="/ledger/verify"
          problemsOf={({ problems }) => problems}
          more={({ proof }) => <Differences of={proof.differences} />}
        />
        <ProofCard<RecordProof>
          id="record"
          title="The record"
          text="Nobody edited, deleted, moved or cut off a row of requests, verdicts and acts, and each text fits the hash in its row."
          path="/audit/verify"
          problemsOf={({ problems }) => problems.map(({ message }) => message)}
          more={({ proof, at }) => proof.ok && <Head of={proof} at={at} />}
        />
      </div>
      <Downloads />
      <ProviderBill />
      <Acts />
      <SqlConsole />
    </div>
  );
}

interface Proved<T> {
  proof: T;
  tookMs: number;
  at: string;
}

/** Runs a proof when somebody asks for it. */
function useProof<T>(path: string) {
  const [beganMs, setBeganMs] = useState(0);
  const proof = useMutation({
    mutationFn: async (): Promise<Proved<T>> => {
      setBeganMs(Date.now());
      const beganAt = performance.now();
      const answer = await get<T>(path, {}, undefined, PROOF_TIMEOUT_MS);
      return { proof: answer, tookMs: performance.now() - beganAt, at: new Date().toISOString() };
    },
  });
  return { ...proof, beganMs };
}

interface CardProps<T> {
  id: string;
  title: string;
  text: string;
  path: string;
  problemsOf: (proof: T) => readonly string[];
  more: (done: Proved<T>) => ReactNode;
}

function ProofCard<T extends { ok: boolean; checked: object }>({
  id,
  title,
  text,
  path,
  problemsOf,
  more,
}: CardProps<T>) {
  const { mutate, isPending, error, data: done, beganMs } = useProof<T>(path);
  const run = (): void => mutate();
  return (
    <section className="card proof" aria-labelledby={id}>
      <div className="card-head">
        <Title order={2} size="h5" id={id}>
          {title}
        </Title>
        <Button variant="default" onClick={run} disabled={isPending}>
          {done === undefined ? 'Run the proof' : 'Run it again'}
        </Button>
      </div>
      <Text size="sm">{text}</Text>
      <output className="proof-result">
        {isPending && <Running sinceMs={beganMs} />}
        {!isPending && done && (
          <>
            <Status of={done.proof.ok ? 'proved' : 'not proved'} />
            <span>
              took {(done.tookMs / 1_000).toFixed(1)} s, <When at={done.at} short />
            </span>
          </>
        )}
        {!isPending && !done && error === null && <span className="dimmed">Not run in this tab yet.</span>}
      </output>
      <FaultNote error={error} retry={run} />
      {!isPending && done && (
        <>
          <p className="small">Checked: {checkedIn(done.proof.checked)}.</p>
          <Problems of={problemsOf(done.proof)} />
          {more(done)}
        </>
      )}
    </section>
  );
}

/** Counts for the eye; who hears the page is told once. */
function Running({ sinceMs }: { sinceMs: number }) {
  const seconds = Math.max(0, Math.floor((useNow() - sinceMs) / 1_000));
  return (
    <>
      <span>The proof runs.</span>
      <span aria-hidden="true" className="dimmed">
        {seconds} s
      </span>
    </>
  );
}

const checkedIn = (checked: object): string =>
  Object.entries(checked)
    .map(([name, amount]) => `${Number(amount).toLocaleString('en')} ${name.replaceAll('_', ' ')}`)
    .join(', ');

const DIFFERENCES: readonly Column<LedgerProof['differences'][number]>[] = [
  { title: 'Account', cell: ({ id }) => <code>{id}</code> },
  { title: 'Amount', cell: ({ field }) => field.replace('_usd', '') },
  { title: 'Ledger', cell: ({ ledger }) => `$${ledger}`, isFigure: true },
  { title: 'Redis', cell: ({ redis }) => `$${redis}`, isFigure: true },
];

function Differences({ of: differences }: { of: LedgerProof['differences'] }) {
  if (differences.length === 0) return null;
  return (
    <Rows
      name="Where Redis and the ledger disagree"
      columns={DIFFERENCES}
      rows={differences}
      idOf={({ id, field }) => id + field}
    />
  );
}

function Head({ of: { head, public_key }, at }: { of: RecordProof; at: string }) {
  return (
    <div>
      <h3>Keep this outside of Daypass</h3>
      <Text size="sm" mb="xs">
        Whoever has it can prove later that nobody changed a row before this one, also if one person controls both
        stores.
      </Text>
      <CopyField
        name="head and public key"
        text={`at ${at}\nrow ${head.seq}\nhash ${head.hash}\npublic key ${public_key}`}
        isBlock
      />
    </div>
  );
}

function Problems({ of: problems }: { of: readonly string[] }) {
  if (problems.length === 0) return null;
  return (
    <ul className="problems small" aria-label="What is wrong">
      {problems.map((problem, index) => (
        // Two may say the same, and their order stays.
        // oxlint-disable-next-line react/no-array-index-key
        <li key={index}>{problem}</li>
      ))}
    </ul>
  );
}

const FILES: readonly { path: string; name: string; text: string; query?: Record<string, string> }[] = [
  { path: '/checks/export', name: 'Checks', text: 'Every verdict with its scores and thresholds, without texts' },
  { path: '/requests/export', name: 'Calls', text: 'Who called which model, what was decided, what it cost' },
  {
    path: '/statement/export',
    name: 'Statement by campaign',
    text: 'What the ledger moved: granted, billed, refunded, absorbed, spent',
    query: { by: 'campaign' },
  },
  { path: '/statement/export', name: 'Statement by key', text: 'The same for each key', query: { by: 'key' } },
  { path: '/policies/export', name: 'Policies', text: 'What judged calls up to the end of the period' },
  { path: '/acts/export', name: 'Acts', text: 'Who did what, and why' },
];

const WRITTEN = { csv: 'CSV', jsonl: 'JSONL' } as const;

function monthBegin(): string {
  const now = new Date();
  return localOf(new Date(now.getFullYear(), now.getMonth(), 1).toISOString());
}

function Downloads() {
  const [since, setSince] = useState(monthBegin);
  const [until, setUntil] = useState('');
  const [format, setFormat] = useState<'csv' | 'jsonl'>('csv');
  const isBackwards = since !== '' && until !== '' && since >= until;
  return (
    <section className="card" aria-labelledby="downloads">
      <Title order={2} size="h5" id="downloads">
        Downloads for a period
      </Title>
      <div className="grid">
        <TextInput
          type="datetime-local"
          label={`From (${zoneName()})`}
          value={since}
          onChange={(event) => setSince(event.currentTarget.value)}
        />
        <TextInput
          type="datetime-local"
          label={`To (${zoneName()})`}
          value={until}
          error={isBackwards ? 'The end must come after the begin' : undefined}
          onChange={(event) => setUntil(event.currentTarget.value)}
        />
        <NativeSelect
          label="Format"
          value={format}
          data={[
            { value: 'csv', label: 'CSV, for spreadsheets' },
            { value: 'jsonl', label: 'JSON Lines, for programs' },
          ]}
          onChange={(event) => setFormat(event.currentTarget.value as 'csv' | 'jsonl')}
        />
      </div>
      <ul className="downloads">
        {FILES.map(({ path, name, text, query }) => {
          const period = {
            ...(path === '/policies/export' ? {} : { since: timeOf(since) ?? undefined }),
            until: timeOf(until) ?? undefined,
          };
          return (
            <li key={name}>
              <span>
                {name}
                <small>{text}</small>
              </span>
              <Button
                component="a"
                variant="default"
                href={`/admin/v1${pathOf(path, { ...query, ...period, format })}`}
                download
                data-disabled={isBackwards || undefined}
                aria-disabled={isBackwards || undefined}
                onClick={(event) => isBackwards && event.preventDefault()}
                leftSection={<Icon name="download" size={16} />}
                aria-label={`${name} as ${WRITTEN[format]}`}
              >
                {WRITTEN[format]}
              </Button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

const DAYS: readonly Column<Reconciliation['days'][number]>[] = [
  { title: 'Day (UTC)', cell: ({ day }) => day },
  {
    title: 'Result',
    cell: ({ drift_usd: drift }) => <Status of={nanoOf(drift) < 0n ? 'billed more' : 'agrees'} />,
  },
  { title: 'Booked', cell: ({ booked_usd: booked }) => showUsd(booked), isFigure: true },
  { title: 'Billed', cell: ({ billed_usd: billed }) => showUsd(billed), isFigure: true },
  { title: 'Booked less billed', cell: ({ drift_usd: drift }) => showUsd(drift), isFigure: true },
];

function ProviderBill() {
  const { data, error, refetch } = useQuery({
    queryKey: ['reconciliation'],
    queryFn: async ({ signal }) => (await get<{ data: Reconciliation }>('/reconciliation', {}, signal)).data,
  });
  return (
    <section className="card" aria-labelledby="bill">
      <Title order={2} size="h5" id="bill">
        The provider’s bill
      </Title>
      <FaultNote error={error} retry={() => void refetch()} />
      {data && !data.enabled && (
        <Text size="sm" className="warned">
          OPENAI_ADMIN_KEY is not set, so that nobody compares the books with the provider’s reports.
        </Text>
      )}
      {data?.last_run && (
        <Text size="sm">
          Last compared <When at={data.last_run.at} />:{' '}
          {data.last_run.outcome === 'ok' ? 'it went well.' : <span className="fault">{data.last_run.outcome}</span>}
        </Text>
      )}
      {data?.enabled && (
        <Text size="sm" className="dimmed" mb="sm">
          {data.scope === null
            ? 'The reports cover the whole organization, so that bills of others count, too. OPENAI_PROJECT_ID narrows them.'
            : `The reports cover ${data.scope}.`}
        </Text>
      )}
      {data && data.days.length > 0 && (
        <Rows name="Days that the provider billed" columns={DAYS} rows={data.days} idOf={({ day }) => day} />
      )}
      {data?.enabled && data.days.length === 0 && (
        <Text size="sm" className="dimmed">
          The provider has billed no day yet.
        </Text>
      )}
    </section>
  );
}

function Acts() {
  const { data, error, refetch } = useQuery({
    queryKey: ['acts', 'newest'],
    queryFn: ({ signal }) => get<Page<ActView>>('/acts', { limit: ACTS_SHOWN }, signal),
  });
  return (
    <section className="card" aria-labelledby="acts">
      <div className="card-head">
        <Title order={2} size="h5" id="acts">
          Who did what, and why
        </Title>
        <Button component={Link} href="/acts" variant="default">
          All acts
        </Button>
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {data?.data.length === 0 && (
        <Text size="sm" className="dimmed">
          Nobody did anything yet.
        </Text>
      )}
      {data && data.data.length > 0 && (
        <Rows name="The newest acts" columns={ACT_COLUMNS} rows={data.data} idOf={({ id }) => id} />
      )}
    </section>
  );
}

function SqlConsole() {
  return (
    <section className="card" aria-labelledby="sql">
      <Title order={2} size="h5" id="sql">
        Questions of your own, in SQL
      </Title>
      <Text size="sm" mb="sm">
        The Postgres role <code>auditor</code> reads views of ledger and record, and nothing else: no texts, no keys.
        Its password is DAYPASS_AUDITOR_PASSWORD. docs/audit.md has the views and ten questions.
      </Text>
      <dl className="facts">
        <dt>docker compose</dt>
        <dd>
          Open port 8082 of the machine (<code>http://127.0.0.1:8082</code>): system PostgreSQL, server{' '}
          <code>postgres</code>, user <code>auditor</code>, database <code>daypass</code>.
        </dd>
        <dt>npm start</dt>
        <dd>
          The start prints a line for <code>psql</code> with the port. The password is in{' '}
          <code>.daypass/auditor-password</code>.
        </dd>
        <dt>elsewhere</dt>
        <dd>
          <code>psql &quot;postgres://auditor@&lt;host&gt;/daypass&quot;</code>
        </dd>
      </dl>
    </section>
  );
}
