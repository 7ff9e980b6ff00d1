import { useQuery } from '@tanstack/react-query';
import type { CampaignView, Page } from '#libs/contracts/admin/answers.js';
import type { LinkView } from '#libs/contracts/admin/claims.js';
import { useFollow } from '../live/follow.ts';
import { get, write } from './client.ts';

const PAGE = '200';
/** 25 pages of 200: a campaign with more links is led by scripts. */
const PAGES_MAX = 25;

/** Its figures follow what the books tell. */
export function useCampaign(slug: string) {
  const campaign = useQuery({
    queryKey: ['campaign', slug],
    queryFn: ({ signal }) => get<CampaignView>(`/campaigns/${slug}`, {}, signal),
    refetchInterval: 15_000,
  });
  useFollow('campaign', () => void campaign.refetch());
  return campaign;
}

export const useLinks = (slug: string) =>
  useQuery({
    queryKey: ['links', slug],
    queryFn: async ({ signal }) => allLinks(slug, signal),
  });

async function allLinks(slug: string, signal: AbortSignal): Promise<LinkView[]> {
  const links: LinkView[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer: Page<LinkView> = await get(
      `/campaigns/${slug}/links`,
      { limit: PAGE, ...(cursor === null ? {} : { cursor }) },
      signal,
    );
    links.push(...answer.data);
    cursor = answer.next_cursor;
    if (cursor === null) break;
  }
  return links;
}

/** One after the other, so that the first fault names what was not changed. */
export async function setStatus(links: readonly LinkView[], status: 'open' | 'paused'): Promise<void> {
  for (const { id } of links) await write('PATCH', `/links/${id}`, { status });
}
