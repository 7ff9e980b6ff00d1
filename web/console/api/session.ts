import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { z } from 'zod';
import type { Overview, sessionAnswer, Settings } from '#libs/contracts/admin/console.js';
import { ApiFault, get } from './client.ts';

export type Session = z.output<typeof sessionAnswer>['data'];
export type Range = '1h' | '24h' | '30d';

/** null: nobody is signed in. */
export const useSession = () =>
  useQuery({
    queryKey: ['session'],
    queryFn: async ({ signal }): Promise<Session | null> => {
      try {
        return (await get<{ data: Session }>('/session', {}, signal)).data;
      } catch (error) {
        if (error instanceof ApiFault && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 300_000,
  });

/** The stream keeps the figures of the moment; this fetches the rest anew each quarter of a minute. */
export const useOverview = (range: Range = '1h') =>
  useQuery({
    queryKey: ['overview', range],
    queryFn: async ({ signal }) => (await get<{ data: Overview }>('/overview', { range }, signal)).data,
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  });

export const useSettings = () =>
  useQuery({
    queryKey: ['settings'],
    queryFn: async ({ signal }) => (await get<{ data: Settings }>('/settings', {}, signal)).data,
    staleTime: 60_000,
  });

/** Everything on the page is asked for again. */
export function useRefresh(): () => void {
  const client = useQueryClient();
  return () => void client.invalidateQueries();
}
