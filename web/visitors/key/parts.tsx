import type { ReactNode } from 'react';
import type { HeldKey, Refusal } from '#libs/contracts/held-key.js';
import { explain, helpPath } from '#libs/contracts/help.js';
import { csvOf } from '../../shared/csv.js';
import { hasEnded, KEY_WORDS, refusalAdvice, refusalName, resultWords, stateOf } from '../../shared/key.words.js';
import { nanoOf, percentOf, showUsd } from '../../shared/money.js';
import { Countdown, Elsewhere, Models, Notice, Time } from '../../shared/parts.js';
import { recordedWords } from '../../shared/recorded.js';
import { duration } from '../../shared/time.js';
import { besideText } from '../../shared/usage.js';
import { visiblePrefix } from '../../shared/virtual.key.js';
import type { Calls } from '../../shared/held.key.js';

/** Below it the bar turns red. Its text says the same. */
const LOW_PERCENT = 20;

export function Balance({ view, now }: { view: HeldKey; now: Date }): ReactNode {
  const { available_usd, budget_usd, held_usd, limits, remaining } = view;
  const left = percentOf(available_usd, budget_usd);
  const held = percentOf(held_usd, budget_usd);
  const isHolding = nanoOf(held_usd) !== 0n;
  const isOver = hasEnded(view);
  return (
    <>
      <div className="stack">
        {isOver ? (
          <p>
            <strong className="amount">{showUsd(view.spent_usd)}</strong> of {showUsd(budget_usd)} spent
          </p>
        ) : (
          <>
            <p>
              <strong className="amount">{showUsd(available_usd)}</strong> of {showUsd(budget_usd)} left
              {isHolding && ` (${showUsd(held_usd)} held by running calls)`}
              {left > 0 && left < LOW_PERCENT && <span className="small"> · nearly spent</span>}
            </p>
            <div
              className={left < LOW_PERCENT ? 'bar low' : 'bar'}
              role="img"
              aria-label={`${left} % of the budget is left`}
            >
              <span className="left" style={{ inlineSize: `${left}%` }} />
              <span className="held" style={{ inlineSize: `${held}%` }} />
            </div>
          </>
        )}
        {(!isOver || view.status === 'expired') && (
          <p>
            {view.expires_at !== null && (
              <>
                {view.status === 'expired' ? 'ended on ' : 'until '}
                <Time at={view.expires_at} now={now} />
              </>
            )}
            {view.expires_at === null &&
              (view.ttl_seconds === null
                ? 'The key has no end.'
                : `${duration(view.ttl_seconds)} from your first call on`)}
          </p>
        )}
      </div>
      <dl className="facts">
        <Limit name="Requests a minute" limit={limits.rpm} left={remaining.requests} />
        <Limit name="Tokens a minute" limit={limits.tpm} left={remaining.tokens} />
        <Limit name="Calls at once" limit={limits.concurrent} left={null} />
        <div>
          <dt>Refused inputs</dt>
          <dd>{view.strikes_suspend_at ? `${view.strikes} of ${view.strikes_suspend_at}` : view.strikes}</dd>
        </div>
        <div className="wide">
          <dt>Models</dt>
          <dd>
            <Models names={view.models} />
          </dd>
        </div>
      </dl>
      {view.retention_days !== undefined && (
        <p className="small">{recordedWords({ ...view.moderation, retention_days: view.retention_days })}</p>
      )}
    </>
  );
}

function Limit({ name, limit, left }: { name: string; limit: number; left: number | null }): ReactNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {limit === 0 ? 'no limit' : limit.toLocaleString('en')}
        {left !== null && <div className="small">{left.toLocaleString('en')} left</div>}
      </dd>
    </div>
  );
}

export function State({ view, now, onChange }: { view: HeldKey; now: Date; onChange: () => void }): ReactNode {
  const state = stateOf(view);
  const { tone, title, text } = KEY_WORDS[state];
  if (title === null) return null;
  const until = state === 'resting' ? view.suspended_until : state === 'not_started' ? view.starts_at : null;
  const since = view.ended_at;
  return (
    <Notice tone={tone} title={title}>
      <p>{text}</p>
      {until !== null && (
        <>
          <Countdown until={until} onEnd={onChange} />
          <p>
            until <Time at={until} now={now} alone />
          </p>
        </>
      )}
      {since !== null && (
        <p>
          since <Time at={since} now={now} />
        </p>
      )}
      {view.contact && tone !== 'good' && (
        <p>
          Contact: <Elsewhere to={view.contact}>{view.contact}</Elsewhere>
        </p>
      )}
    </Notice>
  );
}

export function Refusals({ refusals, now }: { refusals: readonly Refusal[]; now: Date }): ReactNode {
  const [last, ...earlier] = refusals;
  if (last === undefined) return null;
  return (
    <section className="card" aria-labelledby="refusals">
      <h2 id="refusals">Last refusal</h2>
      <OneRefusal refusal={last} now={now} />
      {earlier.length > 0 && (
        <details>
          <summary>{earlier.length} earlier within a day</summary>
          <div className="stack">
            {earlier.map((refusal) => (
              <OneRefusal key={`${refusal.at} ${refusal.request_id ?? ''}`} refusal={refusal} now={now} />
            ))}
          </div>
        </details>
      )}
    </section>
  );
}

function OneRefusal({ refusal, now }: { refusal: Refusal; now: Date }): ReactNode {
  return (
    <div className="refusal">
      <p>
        <strong>{explain(refusal.code).what}</strong>
        <br />
        <span className="small">
          <Time at={refusal.at} now={now} /> · <code>{refusalName(refusal)}</code>
        </span>
      </p>
      <details>
        <summary>What now?</summary>
        <p>
          {refusalAdvice(refusal)} <a href={helpPath(refusal.code)}>More about it</a>
        </p>
        {refusal.request_id && (
          <p className="small">
            request <code>{refusal.request_id}</code>
          </p>
        )}
      </details>
    </div>
  );
}

const ms = (waited: number | null): string =>
  waited === null ? '–' : waited < 1_000 ? `${waited} ms` : `${(waited / 1_000).toFixed(1)} s`;
const checked = (verdicts: readonly string[]): string =>
  verdicts.length === 0 ? '–' : [...new Set(verdicts)].join(', ');
const tokens = (count: number | null): string => (count === null ? '–' : count.toLocaleString('en'));

export function CallList({
  secret,
  list,
  now,
  curl,
}: {
  secret: string;
  list: Calls;
  now: Date;
  curl: ReactNode;
}): ReactNode {
  const { calls, fault, isLoading, hasOlder, loadOlder, loadAll } = list;
  return (
    <section className="card" aria-labelledby="calls">
      <div className="row spread">
        <h2 id="calls">Calls</h2>
        {calls.length > 0 && (
          <button
            type="button"
            className="button quiet"
            onClick={() => void loadAll().then((all) => save(all, secret))}
          >
            CSV
          </button>
        )}
      </div>
      {fault !== null && (
        <p className="error" role="status">
          The list of calls did not come: {fault.message}
        </p>
      )}
      {calls.length === 0 && fault === null && (isLoading ? <p>Looking…</p> : curl)}
      {calls.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Time</th>
              <th>Model</th>
              <th className="number">Tokens in / out</th>
              <th className="number">Cost</th>
              <th>Checked in / out</th>
              <th className="number">Waited</th>
              <th>Result</th>
            </tr>
          </thead>
          <tbody>
            {calls.map((call) => (
              <tr key={call.id}>
                <td data-label="Time">
                  <Time at={call.at} now={now} alone />
                </td>
                <td data-label="Model">{call.model}</td>
                <td data-label="Tokens in / out" className="number">
                  {tokens(call.input_tokens)} / {tokens(call.output_tokens)}
                  {besideText(call.usage) !== '' && <div className="small">{besideText(call.usage)}</div>}
                </td>
                <td data-label="Cost" className="number">
                  {call.cost_usd === null ? '–' : showUsd(call.cost_usd, 6)}
                </td>
                <td data-label="Checked in / out">
                  {checked(call.input)} / {checked(call.output)}
                </td>
                <td data-label="Waited" className="number">
                  {ms(call.waited_ms)}
                </td>
                <td data-label="Result">{resultWords(call.result)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {hasOlder && (
        <div>
          <button type="button" className="button quiet" onClick={() => void loadOlder()}>
            Older calls
          </button>
        </div>
      )}
    </section>
  );
}

function save(calls: Calls['calls'], secret: string): void {
  const rows = calls.map((call) => [
    call.id,
    call.at,
    call.endpoint,
    call.model,
    call.input_tokens,
    call.output_tokens,
    besideText(call.usage),
    call.cost_usd,
    call.input.join(' '),
    call.output.join(' '),
    call.waited_ms,
    call.result,
  ]);
  const head = [
    [
      'id',
      'at',
      'endpoint',
      'model',
      'input_tokens',
      'output_tokens',
      'other_usage',
      'cost_usd',
      'input',
      'output',
      'waited_ms',
      'result',
    ],
  ];
  const url = URL.createObjectURL(new Blob([csvOf([...head, ...rows])], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `daypass-calls-${visiblePrefix(secret)}.csv`;
  link.click();
  URL.revokeObjectURL(url);
}
