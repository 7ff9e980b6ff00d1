import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import type { z } from 'zod';
import type { CallView, CampaignView, Page } from '#libs/contracts/admin/answers.js';
import type { checkCountAnswer } from '#libs/contracts/admin/safety.js';
import { get, type Query } from './client.ts';

const PAGE = '50';
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

export const LAST = {
  '24h': { label: 'Last 24 hours', hours: 24 },
  '7d': { label: 'Last 7 days', hours: 7 * 24 },
  '30d': { label: 'Last 30 days', hours: 30 * 24 },
} as const;
export type Last = keyof typeof LAST;
const USUAL_LAST: Last = '30d';
const isLast = (name: string | null): name is Last => name !== null && Object.hasOwn(LAST, name);

const SHOWN = { waiting: 'false', seen: 'true', all: undefined } as const;
export type Shown = keyof typeof SHOWN;
const isShown = (name: string | null): name is Shown => name !== null && Object.hasOwn(SHOWN, name);

export interface ReviewFilter {
  decision: string;
  last: Last;
  shown: Shown;
  campaign: string;
}

export function filterIn(params: URLSearchParams): ReviewFilter {
  const last = params.get('last');
  const shown = params.get('shown');
  return {
    decision: params.get('decision') || 'blocked,flagged',
    last: isLast(last) ? last : USUAL_LAST,
    shown: isShown(shown) ? shown : 'waiting',
    campaign: params.get('campaign') ?? '',
  };
}

/** To the minute, so that the same filter is the same question for a while. */
const sinceOf = (last: Last): string =>
  new Date(Math.floor((Date.now() - LAST[last].hours * HOUR_MS) / MINUTE_MS) * MINUTE_MS).toISOString();

/** The filter as the API takes it. Made once for a filter: the queue and the calls beside a call then agree. */
export const queryOf = ({ decision, last, shown, campaign }: ReviewFilter): Query => ({
  decision,
  reviewed: SHOWN[shown],
  campaign: campaign || undefined,
  since: sinceOf(last),
});

/** The flagged calls. It is asked for anew on a wish only: nothing moves under the reader's hands. */
export const useQueue = (query: Query) =>
  useInfiniteQuery({
    queryKey: ['review-queue', query],
    queryFn: ({ pageParam, signal }) =>
      get<Page<CallView>>('/requests', { ...query, limit: PAGE, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor: next }) => next ?? undefined,
  });

/** How many checks passed within a filter: what an empty queue rests upon. */
export const usePassed = ({ campaign, since }: Query, isAsked: boolean) =>
  useQuery({
    queryKey: ['passed', campaign, since],
    queryFn: async ({ signal }) =>
      (await get<z.output<typeof checkCountAnswer>>('/checks/count', { campaign, since, decision: 'pass' }, signal))
        .data,
    enabled: isAsked,
  });

export const useCampaignNames = () =>
  useQuery({
    queryKey: ['campaign-names'],
    queryFn: async ({ signal }) => (await get<Page<CampaignView>>('/campaigns', { limit: '200' }, signal)).data,
    staleTime: 60_000,
  });
