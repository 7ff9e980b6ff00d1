import { NativeSelect } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Link } from 'wouter';
import type { Replay } from '#libs/contracts/admin/audit.js';
import type { ModerationPolicy } from '#libs/contracts/policy.js';
import { ask } from '../api/client.ts';
import { FaultNote } from './fault-note.tsx';

/** Somebody who drags a slider asks when she rests. */
const PAUSE_MS = 400;
const DAYS = ['1', '7', '30'];

const many = (count: number, what: string): string => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;

/** What these thresholds would have made of the campaign's verdicts on record. */
export function ReplayNote({ slug, thresholds }: { slug: string; thresholds: ModerationPolicy['thresholds'] }) {
  const [days, setDays] = useState('30');
  const wished = JSON.stringify({ campaign: slug, days: Number(days), thresholds });
  const [asked, setAsked] = useState(wished);
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ['replay', asked],
    queryFn: async ({ signal }) =>
      (await ask<{ data: Replay }>('/moderation/replay', JSON.parse(asked) as object, signal)).data,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    refetchOnWindowFocus: false,
  });
  useEffect(() => {
    // One question at a time: Postgres goes on with one that nobody waits for any more.
    if (isFetching || wished === asked) return undefined;
    const timer = setTimeout(() => setAsked(wished), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [isFetching, wished, asked]);
  const isOld = isFetching || wished !== asked;
  return (
    <div className="replay" data-old={isOld || undefined}>
      <NativeSelect
        label="Tried on the record of the last"
        value={days}
        data={DAYS.map((value) => ({ value, label: value === '1' ? '24 hours' : `${value} days` }))}
        onChange={(event) => setDays(event.currentTarget.value)}
      />
      {/* While somebody drags, the sentence waits: who hears the page hears the end of it. */}
      <output className="replay-words" aria-busy={isOld}>
        {error === null && (data ? <Sentence of={data} /> : <span className="dimmed">Looking…</span>)}
      </output>
      <FaultNote error={error} retry={() => void refetch()} />
      {error === null && data && <Rest of={data} />}
    </div>
  );
}

function Sentence({ of: { checks, now_blocked: now, would_block: would } }: { of: Replay }) {
  if (checks === 0) return <span className="dimmed">No verdict is on record in this time.</span>;
  return (
    <span>
      These limits <b>would have blocked {would.toLocaleString('en')}</b> of {many(checks, 'check')};{' '}
      {now === would ? 'so many were blocked.' : `${now.toLocaleString('en')} were blocked.`}
    </span>
  );
}

function Rest({ of: { unknown, left_out: left, examples, example_calls: calls } }: { of: Replay }) {
  const silent = left.filter(({ why }) => why === 'no_verdict').reduce((sum, one) => sum + one.checks, 0);
  const own = left.filter(({ why }) => why === 'own_rules');
  return (
    <>
      {unknown > 0 && (
        <p className="small warned">
          Nobody can tell for {many(unknown, 'further check')}: where you take a limit away the judging model decides,
          and its own answer was not kept while a limit decided.
        </p>
      )}
      {examples.length > 0 && (
        <p className="small">
          Newly blocked, for example:{' '}
          {examples.map((check, index) => (
            <span key={check}>
              {index > 0 && ', '}
              <Link href={`/calls/${calls[index]}`}>{`call ${index + 1}`}</Link>
            </span>
          ))}
        </p>
      )}
      {(own.length > 0 || silent > 0) && (
        <p className="small dimmed">
          Left out:{' '}
          {[
            ...own.map(({ guard, checks }) => `${many(checks, 'check')} of ${guard}, which goes by its own rules`),
            ...(silent > 0 ? [`${many(silent, 'check')} without a verdict`] : []),
          ].join('; ')}
          .
        </p>
      )}
    </>
  );
}
