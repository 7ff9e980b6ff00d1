import { useQuery } from '@tanstack/react-query';
import type { KeyView, Page, StrikeView } from '#libs/contracts/admin/answers.js';
import type { AroundView, RequestView, VisitorView } from '#libs/contracts/admin/safety.js';
import { get, type Query } from './client.ts';

/** What stands beside a call or a visitor at most; the lists have the rest. */
const BESIDE = '20';

export const useKey = (id: string | undefined) =>
  useQuery({
    enabled: id !== undefined,
    queryKey: ['key', id],
    queryFn: ({ signal }) => get<KeyView>(`/keys/${id}`, {}, signal),
    refetchInterval: 15_000,
  });

export const useVisitor = (id: string | undefined) =>
  useQuery({
    queryKey: ['visitor', id],
    queryFn: ({ signal }) => get<VisitorView>(`/visitors/${id}`, {}, signal),
    enabled: id !== undefined,
  });

export const isClaimant = (visitor: string): boolean => visitor.startsWith('vis_');

/** The keys of a visitor: a claimant's, or the one key that nobody claimed. */
export const useVisitorKeys = (id: string | undefined) =>
  useQuery({
    queryKey: ['visitor-keys', id],
    queryFn: async ({ signal }) =>
      isClaimant(id!)
        ? (await get<Page<KeyView>>('/keys', { claimant: id, limit: BESIDE }, signal)).data
        : [await get<KeyView>(`/keys/${id}`, {}, signal)],
    enabled: id !== undefined,
  });

export const useVisitorStrikes = (id: string | undefined) =>
  useQuery({
    queryKey: ['visitor-strikes', id],
    queryFn: ({ signal }) => get<Page<StrikeView>>(`/visitors/${id}/strikes`, { limit: BESIDE }, signal),
    enabled: id !== undefined,
  });

/** Without its texts: to read those is an act of its own. */
export const useCall = (id: string) =>
  useQuery({ queryKey: ['call', id], queryFn: ({ signal }) => get<RequestView>(`/requests/${id}`, {}, signal) });

/** The calls beside this one, within a filter of the list. */
export const around = (id: string, filter: Query) => ({
  queryKey: ['around', id, filter],
  queryFn: async ({ signal }: { signal: AbortSignal }) =>
    (await get<{ data: AroundView }>(`/requests/${id}/around`, filter, signal)).data,
});
