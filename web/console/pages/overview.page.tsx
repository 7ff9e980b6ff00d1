import { Alert, Button, Text, Title } from '@mantine/core';
import { Link, useSearchParams } from 'wouter';
import type { Overview } from '#libs/contracts/admin/console.js';
import { nanoOf, percentOf } from '../../shared/money.ts';
import { useOverview, useSettings, type Range } from '../api/session.ts';
import { showUsd } from '../kit/amounts.ts';
import { Bar, LeftBar } from '../kit/bar.tsx';
import { SpendChart } from '../kit/chart.tsx';
import { Choices } from '../kit/choices.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Icon } from '../kit/icon.tsx';
import { Status } from '../kit/status.tsx';
import { When } from '../kit/when.tsx';
import { useBeat } from '../live/stream.ts';

const RANGES: { value: Range; label: string }[] = [
  { value: '1h', label: '60 min' },
  { value: '24h', label: '24 h' },
  { value: '30d', label: '30 days' },
];
const readRange = (given: string | null): Range => RANGES.find(({ value }) => value === given)?.value ?? '1h';

export default function OverviewPage() {
  const [params, setParams] = useSearchParams();
  const range = readRange(params.get('range'));
  const { data, error, refetch } = useOverview(range);
  const isFirstRun = data !== undefined && nanoOf(data.operator.spent_total_usd) === 0n;
  return (
    <div className="stack">
      <div className="page-head">
        <Title order={1}>Overview</Title>
        <Button component={Link} href="/campaigns/new" leftSection={<Icon name="plus" />}>
          Launch a campaign
        </Button>
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {data && (
        <>
          {data.rehearsed && (
            <Alert color="yellow" variant="light" title="Answers are made up" className="note">
              Nobody set OPENAI_API_KEY, so that Daypass rehearses: no model answers and nothing costs real money. Set
              the key and start again to serve real calls.
            </Alert>
          )}
          {isFirstRun && <FirstRun />}
          <Figures overview={data} />
          <div className="grid" data-main>
            <section className="card" aria-labelledby="spend">
              <div className="card-head">
                <Title order={2} size="h5" id="spend">
                  Spend and calls
                </Title>
                <Choices
                  name="Time range"
                  choices={RANGES}
                  value={range}
                  choose={(value) => setParams(value === '1h' ? {} : { range: value }, { replace: true })}
                />
              </div>
              <SpendChart points={data.series} name="Spend and calls" />
            </section>
            <Needs needs={data.needs} />
          </div>
          <Campaigns campaigns={data.campaigns} />
          <div className="grid">
            <Lanes lanes={data.lanes} />
            <Health overview={data} />
          </div>
        </>
      )}
    </div>
  );
}

function Figures({ overview }: { overview: Overview }) {
  const beat = useBeat();
  const { operator, waiting } = overview;
  const spent = beat?.spent_today_usd ?? operator.spent_today_usd;
  const refused = Object.entries(beat?.refused ?? {});
  const oldestSeconds = beat ? beat.oldest_ms / 1_000 : waiting.oldest_seconds;
  const waitingCalls = beat?.waiting ?? waiting.calls;
  return (
    <dl className="figures">
      <div>
        <dt>Spent today</dt>
        <dd>
          {showUsd(spent)}
          <small>
            {operator.budget_usd_per_day === null
              ? 'no day budget is set'
              : `${percentOf(spent, operator.budget_usd_per_day)} % of ${showUsd(operator.budget_usd_per_day)}`}
          </small>
        </dd>
      </div>
      <div>
        <dt>Per minute</dt>
        <dd>
          {beat ? showUsd(beat.spent_per_min_usd) : '–'}
          <small>
            {beat ? `${beat.calls_per_min} calls, ${beat.claims_per_min} claims` : 'waiting for live figures'}
          </small>
        </dd>
      </div>
      <div>
        <dt>Running</dt>
        <dd>
          {beat?.running ?? overview.running}
          <small>calls at this moment</small>
        </dd>
      </div>
      <div>
        <dt>Waiting</dt>
        <dd>
          {waitingCalls}
          <small>{waitingCalls > 0 ? `oldest for ${oldestSeconds.toFixed(1)} s` : 'nobody waits'}</small>
        </dd>
      </div>
      <div>
        <dt>Refused</dt>
        <dd>
          {beat ? refused.reduce((sum, [, count]) => sum + count, 0) : '–'}
          <small>
            {refused.length > 0
              ? refused.map(([code, count]) => `${code.replaceAll('_', ' ')} ${count}`).join(', ')
              : 'in the last minute'}
          </small>
        </dd>
      </div>
      <div>
        <dt>Flagged today</dt>
        <dd>
          {overview.flagged_today}
          <small>
            <Link href="/review">review</Link>
          </small>
        </dd>
      </div>
    </dl>
  );
}

function FirstRun() {
  const { data: settings } = useSettings();
  return (
    <section aria-label="First steps" className="grid">
      <div className="card">
        <Title order={2} size="h5">
          1. Launch a campaign
        </Title>
        <Text size="sm" mb="sm">
          A budget, what each visitor gets, and a link. It takes two minutes.
        </Text>
        <Button component={Link} href="/campaigns/new">
          Launch
        </Button>
      </div>
      <div className="card">
        <Title order={2} size="h5">
          2. Hand out keys
        </Title>
        <Text size="sm" mb="sm">
          Share the link, or print cards with one-time codes for a workshop.
        </Text>
        <Button component={Link} href="/campaigns" variant="default">
          Choose a campaign
        </Button>
      </div>
      <div className="card">
        <Title order={2} size="h5">
          3. Try it as a visitor
        </Title>
        <Text size="sm" mb="sm">
          Open the visitors’ page, claim a key, and see its spend here within two seconds.
        </Text>
        <Button component="a" href={settings?.visitors_url ?? '#'} variant="default" target="_blank" rel="noreferrer">
          Open the visitors’ page
        </Button>
      </div>
    </section>
  );
}

function Need({ text, since }: Overview['needs'][number]) {
  return (
    <>
      <Icon name="warn" />
      <span>
        {text}
        {since && (
          <small>
            <When at={since} short />
          </small>
        )}
      </span>
    </>
  );
}

function Needs({ needs }: { needs: Overview['needs'] }) {
  return (
    <section className="card" aria-labelledby="needs">
      <Title order={2} size="h5" id="needs">
        Needs you ({needs.length})
      </Title>
      {needs.length === 0 ? (
        <Text size="sm" className="dimmed">
          Nothing waits for you.
        </Text>
      ) : (
        <ul className="needs">
          {needs.map((need) => (
            <li key={need.kind + need.href + need.text}>
              {need.href === null ? (
                <p>
                  <Need {...need} />
                </p>
              ) : (
                <Link href={need.href.replace(/^\/console/, '') || '/'}>
                  <Need {...need} />
                </Link>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Campaigns({ campaigns }: { campaigns: Overview['campaigns'] }) {
  if (campaigns.length === 0) return null;
  return (
    <section className="card" aria-labelledby="campaigns">
      <Title order={2} size="h5" id="campaigns">
        Campaigns
      </Title>
      <table className="rows" aria-labelledby="campaigns">
        <thead>
          <tr>
            <th>Name</th>
            <th>Left</th>
            <th data-figure>Live keys</th>
            <th data-figure>Per hour</th>
            <th data-figure>Empty in</th>
          </tr>
        </thead>
        <tbody>
          {campaigns.map((one) => (
            <tr key={one.slug} data-link>
              <td data-title="Name">
                <Link href={`/campaigns/${one.slug}`} className="row-link">
                  {one.name}
                </Link>
              </td>
              <td data-title="Left">
                <LeftBar budget={one.budget_usd} available={one.available_usd} />
              </td>
              <td data-title="Live keys" data-figure>
                {one.keys_active}
              </td>
              <td data-title="Per hour" data-figure>
                {showUsd(one.usd_per_hour)}
              </td>
              <td data-title="Empty in" data-figure>
                {one.hours_left === null
                  ? '–'
                  : `about ${one.hours_left < 10 ? one.hours_left.toFixed(1) : Math.round(one.hours_left)} h`}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Lanes({ lanes }: { lanes: Overview['lanes'] }) {
  return (
    <section className="card" aria-labelledby="lanes">
      <Title order={2} size="h5" id="lanes">
        Lanes
      </Title>
      {lanes.length === 0 && (
        <Text size="sm" className="dimmed">
          No model has a lane yet.
        </Text>
      )}
      <dl className="facts">
        {lanes.map(({ lane, used_percent, waiting }) => (
          <div key={lane} className="contents">
            <dt>{lane}</dt>
            <dd>
              {used_percent === null ? 'no limit is known' : `${Math.round(used_percent)} % of tokens per minute`}
              {waiting > 0 && `, ${waiting} waiting`}
              {used_percent !== null && (
                <Bar
                  percent={Math.min(100, used_percent)}
                  tone={used_percent >= 95 ? 'bad' : used_percent >= 80 ? 'warn' : 'good'}
                />
              )}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Health({ overview }: { overview: Overview }) {
  return (
    <section className="card" aria-labelledby="health">
      <Title order={2} size="h5" id="health">
        Health
      </Title>
      <dl className="facts">
        {overview.services.map(({ name, ready, processes }) => (
          <div key={name} className="contents">
            <dt>{name}</dt>
            <dd>
              <Status of={ready ? 'ready' : 'away'} /> {processes} {processes === 1 ? 'process' : 'processes'}
            </dd>
          </div>
        ))}
        <div className="contents">
          <dt>books</dt>
          <dd>{overview.books_lag_seconds.toFixed(1)} s behind the calls</dd>
        </div>
      </dl>
    </section>
  );
}
