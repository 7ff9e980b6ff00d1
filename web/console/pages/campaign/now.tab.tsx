import { Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useSearchParams } from 'wouter';
import type { z } from 'zod';
import type { CampaignView, KeyView, Page } from '#libs/contracts/admin/answers.js';
import type { funnelAnswer, spendAnswer } from '#libs/contracts/admin/console.js';
import { percentOf } from '../../../shared/money.ts';
import { get } from '../../api/client.ts';
import { showUsd } from '../../kit/amounts.ts';
import { Bar } from '../../kit/bar.tsx';
import { SpendChart } from '../../kit/chart.tsx';
import { FaultNote } from '../../kit/fault-note.tsx';
import { Choices } from '../../kit/choices.tsx';

const RANGES = [
  { value: 'minute', label: '60 min', ms: 3_600_000 },
  { value: 'hour', label: '24 h', ms: 86_400_000 },
  { value: 'day', label: '30 days', ms: 30 * 86_400_000 },
] as const;
type Funnel = z.output<typeof funnelAnswer>['data'];
type Spend = z.output<typeof spendAnswer>['data'];
const TOP = '10';

export function NowTab({ campaign }: { campaign: CampaignView }) {
  return (
    <div className="stack">
      <Figures campaign={campaign} />
      <div className="grid" data-main>
        <SpendCard slug={campaign.slug} />
        <FunnelCard slug={campaign.slug} />
      </div>
      <TopKeys slug={campaign.slug} />
    </div>
  );
}

function Figures({ campaign }: { campaign: CampaignView }) {
  const { budget_usd, spent_usd, held_usd, promised_usd, available_usd, keys } = campaign;
  return (
    <dl className="figures">
      <div>
        <dt>Left</dt>
        <dd>
          {showUsd(available_usd)}
          <small>of {showUsd(budget_usd)}</small>
          <Bar percent={percentOf(available_usd, budget_usd)} />
        </dd>
      </div>
      <div>
        <dt>Spent</dt>
        <dd>
          {showUsd(spent_usd)}
          <small>{percentOf(spent_usd, budget_usd)} % of the budget</small>
        </dd>
      </div>
      <div>
        <dt>Held</dt>
        <dd>
          {showUsd(held_usd)}
          <small>by running calls</small>
        </dd>
      </div>
      <div>
        <dt>Promised</dt>
        <dd>
          {showUsd(promised_usd)}
          <small>in keys, not spent yet</small>
        </dd>
      </div>
      <div>
        <dt>Live keys</dt>
        <dd>
          {keys.active}
          <small>
            of {keys.total}; {keys.suspended} suspended
          </small>
        </dd>
      </div>
    </dl>
  );
}

function SpendCard({ slug }: { slug: string }) {
  const [params, setParams] = useSearchParams();
  const { value: bucket, ms } = RANGES.find(({ value }) => value === params.get('by')) ?? RANGES[0];
  const { data, error, refetch } = useQuery({
    queryKey: ['campaign', slug, 'spend', bucket],
    queryFn: async ({ signal }) =>
      (
        await get<{ data: Spend }>(
          `/campaigns/${slug}/spend`,
          { bucket, since: new Date(Date.now() - ms).toISOString() },
          signal,
        )
      ).data,
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  });
  return (
    <section className="card" aria-labelledby="spend">
      <div className="card-head">
        <Title order={2} size="h5" id="spend">
          Spend and calls
        </Title>
        <Choices
          name="Time range"
          choices={RANGES}
          value={bucket}
          choose={(value) => setParams(value === 'minute' ? {} : { by: value }, { replace: true })}
        />
      </div>
      <FaultNote error={error} retry={() => void refetch()} />
      {data && <SpendChart points={data} name="Spend and calls" />}
    </section>
  );
}

const FUNNEL: readonly [keyof Funnel, string][] = [
  ['opened', 'opened a claim page'],
  ['claimed', 'claimed a key'],
  ['first_call', 'made a call'],
  ['spent', 'spent it all'],
];

function FunnelCard({ slug }: { slug: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ['campaign', slug, 'funnel'],
    queryFn: async ({ signal }) => (await get<{ data: Funnel }>(`/campaigns/${slug}/funnel`, {}, signal)).data,
    refetchInterval: 15_000,
  });
  const most = data ? Math.max(1, ...Object.values(data)) : 1;
  return (
    <section className="card" aria-labelledby="funnel">
      <Title order={2} size="h5" id="funnel">
        From link to call
      </Title>
      <FaultNote error={error} retry={() => void refetch()} />
      {data && (
        <ul className="funnel">
          {FUNNEL.map(([name, label]) => (
            <li key={name}>
              <span>
                <b>{data[name].toLocaleString('en')}</b> {label}
              </span>
              <Bar percent={Math.round((100 * data[name]) / most)} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function TopKeys({ slug }: { slug: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ['campaign', slug, 'top'],
    queryFn: ({ signal }) => get<Page<KeyView>>('/keys', { campaign: slug, sort: '-spent', limit: TOP }, signal),
    refetchInterval: 15_000,
  });
  return (
    <section className="card" aria-labelledby="top">
      <Title order={2} size="h5" id="top">
        Keys that spent most
      </Title>
      <FaultNote error={error} retry={() => void refetch()} />
      {data?.data.length === 0 && (
        <Text size="sm" className="dimmed">
          No keys yet.
        </Text>
      )}
      <ol className="top-keys">
        {data?.data.map((key) => (
          <li key={key.id}>
            <Link href={`/keys/${key.id}`}>
              <code>{key.prefix}…</code> {key.label}
            </Link>
            <span>
              {showUsd(key.spent_usd)} of {showUsd(key.budget_usd)}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
