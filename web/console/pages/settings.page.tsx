import { Button, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'wouter';
import type { Settings } from '#libs/contracts/admin/console.js';
import { duration } from '../../shared/time.ts';
import { write } from '../api/client.ts';
import { useSettings } from '../api/session.ts';
import { showUsd } from '../kit/amounts.ts';
import { ActDialog } from '../kit/dialog.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Icon } from '../kit/icon.tsx';
import { Status } from '../kit/status.tsx';

export default function SettingsPage() {
  const { data, error, refetch } = useSettings();
  return (
    <div className="stack">
      <div className="page-head">
        <Title order={1}>Settings</Title>
      </div>
      <Text size="sm" className="dimmed">
        What holds now, as accounting reads it; secrets are not shown. Settings come from the environment and from
        DAYPASS_CONFIG, and a restart brings a change into force. Campaigns and keys have theirs on their own pages.
      </Text>
      <FaultNote error={error} retry={() => void refetch()} />
      {data && (
        <>
          <Warnings of={data.warnings} />
          <div className="grid">
            <Basics of={data} />
            <Sessions of={data.sessions} />
          </div>
          <Models of={data.models} />
          <div className="grid">
            <LanesAndGuards of={data} />
            <Retention of={data} />
          </div>
          <Limits of={data.limits} />
        </>
      )}
    </div>
  );
}

function Warnings({ of: warnings }: { of: readonly string[] }) {
  return (
    <section className="card" aria-labelledby="missing">
      <Title order={2} size="h5" id="missing">
        What is missing ({warnings.length})
      </Title>
      {warnings.length === 0 ? (
        <Text size="sm" className="dimmed">
          Nothing is missing.
        </Text>
      ) : (
        <ul className="checks">
          {warnings.map((warning) => (
            <li key={warning} data-ok="false">
              <Icon name="warn" />
              <span>{warning}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const GATES: readonly (readonly [keyof Settings['gates'], string])[] = [
  ['pow', 'proof of work'],
  ['code', 'one-time code'],
  ['github', 'GitHub account'],
  ['email', 'e-mail address'],
];

function Basics({ of: { public_url, visitors_url, gates, operator, rehearsed } }: { of: Settings }) {
  return (
    <section className="card" aria-labelledby="basics">
      <Title order={2} size="h5" id="basics">
        Addresses, gates and budgets
      </Title>
      <dl className="facts">
        <dt>Visitors’ address</dt>
        <dd>
          {visitors_url}
          {public_url === null && <span className="warned"> (DAYPASS_PUBLIC_URL is not set)</span>}
        </dd>
        <dt>Upstream</dt>
        <dd>{rehearsed ? 'made up (rehearsal)' : 'real'}</dd>
        <dt>A day may cost</dt>
        <dd>{operator.budget_usd_per_day === null ? 'no bound' : showUsd(operator.budget_usd_per_day)}</dd>
        <dt>All calls may cost</dt>
        <dd>{operator.budget_usd_total === null ? 'no bound' : showUsd(operator.budget_usd_total)}</dd>
        {GATES.map(([gate, text]) => (
          <div key={gate} className="contents">
            <dt>Claims by {text}</dt>
            <dd>
              <Status of={gates[gate] ? 'on' : 'off'} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Sessions({ of: { idle_seconds, longest_seconds } }: { of: Settings['sessions'] }) {
  const client = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  return (
    <section className="card" aria-labelledby="sessions">
      <Title order={2} size="h5" id="sessions">
        Sessions of the console
      </Title>
      <Text size="sm" mb="sm">
        A session ends after {duration(idle_seconds)} without a request, and after {duration(longest_seconds)} at most.
        Another DAYPASS_ADMIN_TOKEN ends all of them, too.
      </Text>
      <Button variant="default" onClick={() => setOpen(true)}>
        Sign everybody out
      </Button>
      <ActDialog
        isOpen={isOpen}
        close={() => setOpen(false)}
        title="Sign everybody out"
        act="Sign all out"
        danger
        run={() => write('DELETE', '/sessions')}
        done="All sessions have ended."
        onDone={() => {
          client.setQueryData(['session'], null);
          client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' });
        }}
      >
        <Text size="sm">
          Every open console asks for the admin token again, this one as well. Scripts with the token go on.
        </Text>
      </ActDialog>
    </section>
  );
}

const PRICE_NAMES: Readonly<Record<string, string>> = {
  image_input_usd_per_million: 'image in',
  image_output_usd_per_million: 'image out',
  audio_input_usd_per_million: 'sound in',
  audio_output_usd_per_million: 'sound out',
  usd_per_hour: 'an hour of sound',
  usd_per_million_characters: '1 M characters',
};

function Models({ of: models }: { of: Settings['models'] }) {
  return (
    <section className="card" aria-labelledby="models">
      <Title order={2} size="h5" id="models">
        Models and prices
      </Title>
      <table className="rows" aria-labelledby="models">
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" data-figure>
              1 M tokens in
            </th>
            <th scope="col" data-figure>
              1 M tokens out
            </th>
            <th scope="col">Beside</th>
            <th scope="col">Ends</th>
          </tr>
        </thead>
        <tbody>
          {models.map(({ id, input_usd_per_million, output_usd_per_million, other_prices = {}, shutdown_date }) => (
            <tr key={id}>
              <td data-title="Model">{id}</td>
              <td data-title="1 M tokens in" data-figure>
                {showUsd(input_usd_per_million)}
              </td>
              <td data-title="1 M tokens out" data-figure>
                {showUsd(output_usd_per_million)}
              </td>
              <td data-title="Beside">
                {Object.entries(other_prices)
                  .map(([name, price]) => `${PRICE_NAMES[name] ?? name} ${showUsd(price)}`)
                  .join(', ') || <span className="dimmed">–</span>}
              </td>
              <td data-title="Ends">
                {shutdown_date === null ? (
                  <span className="dimmed">no date known</span>
                ) : (
                  <span className="warned">{shutdown_date}</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function LanesAndGuards({ of: { lanes, guards } }: { of: Settings }) {
  return (
    <section className="card" aria-labelledby="lanes">
      <Title order={2} size="h5" id="lanes">
        Lanes and guards
      </Title>
      <dl className="facts">
        {lanes.map(({ lane, models, upstreams }) => (
          <div key={lane} className="contents">
            <dt>
              <Link href="/lanes">{lane}</Link>
            </dt>
            <dd>
              {models.length > 0 ? models.join(', ') : 'all other models'}
              <span className="dimmed"> at {upstreams.join(', ') || 'no upstream'}</span>
            </dd>
          </div>
        ))}
        {guards.map(({ name, type, judges_all }) => (
          <div key={`guard ${name}`} className="contents">
            <dt>guard {name}</dt>
            <dd>
              {type}
              <span className="dimmed">{judges_all ? ', judges every call' : ', judges where a policy names it'}</span>
            </dd>
          </div>
        ))}
      </dl>
      {guards.length === 0 && (
        <Text size="sm" className="dimmed">
          No guard beside the moderation endpoint.
        </Text>
      )}
    </section>
  );
}

function Retention({ of: { retention, retention_days_default } }: { of: Settings }) {
  return (
    <section className="card" aria-labelledby="retention">
      <Title order={2} size="h5" id="retention">
        How long texts are kept
      </Title>
      <dl className="facts">
        <dt>Campaigns that say nothing else</dt>
        <dd>{retention_days_default} days</dd>
        {retention.map(({ campaign, days }) => (
          <div key={campaign} className="contents">
            <dt>
              <Link href={`/campaigns/${campaign}/settings`}>{campaign}</Link>
            </dt>
            <dd>{days === null ? 'for ever' : `${days} ${days === 1 ? 'day' : 'days'}`}</dd>
          </div>
        ))}
      </dl>
      <Text size="sm" className="dimmed" mt="sm">
        After that the texts go, and verdicts, scores and bookings stay.
      </Text>
    </section>
  );
}

type Limit = Settings['limits'][number];
const shown = ({ value, unit }: Limit): string => {
  const text = typeof value === 'number' ? value.toLocaleString('en') : value || 'none';
  return unit === null ? text : `${text} ${unit}`;
};

function Limits({ of: limits }: { of: readonly Limit[] }) {
  const [own, usual] = [limits.filter((one) => !one.is_default), limits.filter((one) => one.is_default)];
  return (
    <section className="card" aria-labelledby="limits">
      <Title order={2} size="h5" id="limits">
        Limits and times
      </Title>
      {own.length === 0 ? (
        <Text size="sm" className="dimmed" mb="sm">
          Nobody changed any of them.
        </Text>
      ) : (
        <LimitTable name="Changed" of={own} />
      )}
      <details className="more">
        <summary>{usual.length} as Daypass has them</summary>
        <LimitTable name="As Daypass has them" of={usual} />
      </details>
    </section>
  );
}

function LimitTable({ name, of: limits }: { name: string; of: readonly Limit[] }) {
  return (
    <table className="rows" aria-label={name}>
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col">Value</th>
          <th scope="col">What it does</th>
        </tr>
      </thead>
      <tbody>
        {limits.map((limit) => (
          <tr key={limit.name}>
            <td data-title="Setting">
              <code>{limit.name}</code>
            </td>
            <td data-title="Value">
              <span className="settings-value">{shown(limit)}</span>
            </td>
            <td data-title="What it does" className="small">
              {limit.text}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
