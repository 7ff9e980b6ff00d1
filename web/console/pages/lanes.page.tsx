import { Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import type { LaneShown, LaneUpstreamView } from '#libs/contracts/admin/lanes.js';
import { get } from '../api/client.ts';
import { Bar } from '../kit/bar.tsx';
import { FaultNote } from '../kit/fault-note.tsx';
import { Rows, type Column } from '../kit/rows.tsx';
import { Status } from '../kit/status.tsx';
import { When } from '../kit/when.tsx';

const EVERY_MS = 2_000;
const SHARES_MAX = 10;
const NEARLY_FULL_PERCENT = 80;
const FULL_PERCENT = 95;

type Use = LaneShown['requests'];

const count = (value: number): string => Math.round(value).toLocaleString('en');
const percentOfUse = ({ limit, used }: Use): number | null =>
  limit === null || limit <= 0 ? null : Math.min(100, Math.round((100 * used) / limit));

export default function LanesPage() {
  const { data, error, refetch } = useQuery({
    queryKey: ['lanes'],
    queryFn: async ({ signal }) => (await get<{ data: LaneShown[] }>('/lanes', {}, signal)).data,
    refetchInterval: EVERY_MS,
    placeholderData: (before) => before,
  });
  return (
    <div className="stack">
      <div className="page-head">
        <Title order={1}>Lanes</Title>
      </div>
      <Text size="sm" className="dimmed">
        A lane is one group of rate limits of your accounts. Calls that find it full wait in its line, and campaigns
        take turns. Figures are of the last minute, and at most two seconds old.
      </Text>
      <FaultNote error={error} retry={() => void refetch()} />
      {data?.map((lane) => (
        <Lane key={lane.lane} of={lane} />
      ))}
    </div>
  );
}

function stateOf({ frozen_until, upstreams, waiting }: LaneShown): string {
  if (upstreams.length > 0 && upstreams.every(({ left_alone }) => left_alone !== null)) return 'left alone';
  if (frozen_until !== null) return 'frozen';
  return waiting.calls > 0 ? 'calls wait' : 'takes calls';
}

function Lane({ of: lane }: { of: LaneShown }) {
  const { waiting, shares, upstreams } = lane;
  const id = `lane-${lane.lane}`;
  return (
    <section className="card lane" aria-labelledby={id}>
      <div>
        <div className="card-head">
          <Title order={2} size="h5" id={id}>
            {lane.lane}
          </Title>
          <Status of={stateOf(lane)} />
        </div>
        {lane.models.length > 0 && <p className="lane-models small dimmed">Models: {lane.models.join(', ')}</p>}
        {lane.frozen_until !== null && (
          <p className="lane-models small warned">
            All its upstreams are frozen until <When at={lane.frozen_until} />: they answered 429.
          </p>
        )}
      </div>
      <dl className="uses">
        <UseOf name="Requests a minute" use={lane.requests} />
        <UseOf name="Tokens a minute" use={lane.tokens} />
        {lane.images && <UseOf name="Images a minute" use={lane.images} />}
        {lane.audio_seconds && <UseOf name="Seconds of sound a minute" use={lane.audio_seconds} />}
        <div>
          <dt>Waiting</dt>
          <dd>
            {waiting.calls === 0 ? (
              'nobody'
            ) : (
              <>
                {count(waiting.calls)} {waiting.calls === 1 ? 'call' : 'calls'}, {count(waiting.tokens)} tokens
                <small className="dimmed">
                  oldest for {waiting.oldest_seconds.toFixed(1)} s
                  {waiting.next !== null && (
                    <>
                      {' · '}
                      <Link href={`/calls/${waiting.next}`}>next</Link>
                    </>
                  )}
                </small>
              </>
            )}
          </dd>
        </div>
      </dl>
      {upstreams.length === 0 ? (
        <Text size="sm" className="warned">
          No upstream serves this lane.
        </Text>
      ) : (
        <Rows
          name={`Upstreams of ${lane.lane}`}
          columns={UPSTREAMS}
          rows={upstreams}
          idOf={({ upstream }) => upstream}
        />
      )}
      {shares.length > 0 && (
        <div>
          <h3>Shares of the last minute</h3>
          <ul className="shares">
            {shares.slice(0, SHARES_MAX).map(({ campaign, slug, tokens, share }) => (
              <li key={campaign}>
                <span>
                  {slug === null ? <code>{campaign}</code> : <Link href={`/campaigns/${slug}`}>{slug}</Link>}{' '}
                  {Math.round(100 * share)} %, {count(tokens)} tokens
                </span>
                <Bar percent={Math.round(100 * share)} />
              </li>
            ))}
          </ul>
          {shares.length > SHARES_MAX && (
            <p className="small dimmed">and {shares.length - SHARES_MAX} more campaigns</p>
          )}
        </div>
      )}
    </section>
  );
}

function UseOf({ name, use }: { name: string; use: Use }) {
  const percent = percentOfUse(use);
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <UseText use={use} />
        {percent !== null && (
          <Bar
            percent={percent}
            tone={percent >= FULL_PERCENT ? 'bad' : percent >= NEARLY_FULL_PERCENT ? 'warn' : 'good'}
          />
        )}
      </dd>
    </div>
  );
}

function UseText({ use }: { use: Use }) {
  const percent = percentOfUse(use);
  return (
    <span>
      {count(use.used)} {use.limit === null ? 'used, no limit known' : `of ${count(use.limit)}`}
      {percent !== null && <span className="dimmed"> ({percent} %)</span>}
    </span>
  );
}

const WHY: Readonly<Record<string, string>> = {
  failing: 'it does not answer, or answers with errors',
  account: 'it refuses this account: look at its key and its bill',
};

const UPSTREAMS: readonly Column<LaneUpstreamView>[] = [
  { title: 'Upstream', cell: ({ upstream }) => upstream },
  { title: 'State', cell: (one) => <State of={one} /> },
  { title: 'Requests', cell: (one) => <Uses minute={one.requests} day={one.requests_per_day} /> },
  { title: 'Tokens', cell: (one) => <Uses minute={one.tokens} day={one.tokens_per_day} /> },
  { title: 'Beside', cell: (one) => <Beside of={one} /> },
  { title: 'Limits', cell: (one) => <span className="keep">{one.configured.fixed ? 'fixed' : limitsOf(one)}</span> },
];

function limitsOf({ configured, requests, tokens }: LaneUpstreamView): string {
  if (requests.limit === null && tokens.limit === null) return 'none known yet';
  return configured.rpm === requests.limit && configured.tpm === tokens.limit ? 'as configured' : 'as it told';
}

function Uses({ minute, day }: { minute: Use; day: Use | null }) {
  return (
    <span className="use-lines">
      <UseText use={minute} />
      {day && (
        <span className="small dimmed">
          in 24 h: <UseText use={day} />
        </span>
      )}
    </span>
  );
}

function Beside({ of: { images, audio_seconds: sound } }: { of: LaneUpstreamView }) {
  if (images === null && sound === null) return <span className="dimmed">–</span>;
  return (
    <span className="use-lines">
      {images && (
        <span>
          images <UseText use={images} />
        </span>
      )}
      {sound && (
        <span>
          seconds of sound <UseText use={sound} />
        </span>
      )}
    </span>
  );
}

function State({
  of: { left_alone: left, frozen_until: frozen, failures_in_a_row: failures },
}: {
  of: LaneUpstreamView;
}) {
  if (left !== null)
    return (
      <span>
        <Status of="left alone" /> until <When at={left.until} short />: {WHY[left.why] ?? left.why}
      </span>
    );
  if (frozen !== null)
    return (
      <span>
        <Status of="frozen" /> until <When at={frozen} short />: it answered 429
      </span>
    );
  return (
    <span>
      <Status of="takes calls" />
      {failures > 0 && ` after ${failures} ${failures === 1 ? 'failure' : 'failures'} in a row`}
    </span>
  );
}
