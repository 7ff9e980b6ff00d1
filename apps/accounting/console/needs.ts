import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Overview } from '#libs/contracts/admin/console.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { COUNT_MAX, ReviewQueue } from '../record/review.queue.js';
import { narrowReachOf } from '../visitors-url.js';
import type { LivingService } from './live.figures.js';
import { troublesOf, type Trouble } from './troubles.js';

export type Need = Overview['needs'][number];
type CampaignShown = Overview['campaigns'][number];

/** Of each kind. */
const NEEDS_MAX = 20;
const SUSPENDED_FOR = '24 hours';
/** In hundredths of a budget. */
const BUDGET_LOW_PERCENT = 80n;

/** What the overview knows already. Amounts in nano-dollars. */
export interface Known {
  services: readonly LivingService[];
  booksLagMs: number;
  refused: Readonly<Record<string, number>>;
  campaigns: readonly (Pick<CampaignShown, 'slug' | 'name'> & { budgetNano: bigint; usedNano: bigint })[];
  operator: { todayNano: bigint; dayBudgetNano: bigint | undefined; totalNano: bigint; budgetNano: bigint | undefined };
}

/** What an operator should look at, the most urgent first. */
@Injectable()
export class Needs {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    private readonly reviews: ReviewQueue,
  ) {}

  async list(known: Known): Promise<Need[]> {
    return [
      ...troublesOf(known.services, known.booksLagMs).map(troubled),
      ...(await this.suspended()),
      ...budgetsOf(known),
      ...(await this.flagged()),
      ...claimsOf(known),
      ...this.settings(),
    ];
  }

  private async suspended(): Promise<Need[]> {
    const rows = await this.source.query<{ id: string; prefix: string; slug: string; note: string | null; at: Date }[]>(
      `SELECT key.id, key.prefix, campaign.slug, key.status_note AS note, key.updated_at AS at
         FROM access.keys key JOIN access.campaigns campaign ON campaign.id = key.campaign_id
        WHERE key.status = 'suspended' AND key.updated_at > now() - interval '${SUSPENDED_FOR}'
        ORDER BY key.updated_at DESC LIMIT ${NEEDS_MAX}`,
    );
    return rows.map(({ id, prefix, slug, note, at }) => ({
      kind: 'suspended',
      text: `The key ${prefix}… of ${slug} is suspended${note === null ? '' : `: ${note}`}.`,
      href: `/console/keys/${id}`,
      since: at.toISOString(),
    }));
  }

  private async flagged(): Promise<Need[]> {
    const count = await this.reviews.unreviewed();
    if (count === 0) return [];
    const many = count >= COUNT_MAX ? '1,000 or more' : count;
    const text = count === 1 ? '1 flagged call waits for a review.' : `${many} flagged calls wait for a review.`;
    return [{ kind: 'flagged', text, href: '/console/review', since: null }];
  }

  private settings(): Need[] {
    const reach = narrowReachOf(this.config);
    if (reach === null) return [];
    const text = `Claim links work ${reach}: set DAYPASS_PUBLIC_URL and restart.`;
    return [{ kind: 'setting', text, href: null, since: null }];
  }
}

function troubled({ text }: Trouble): Need {
  return { kind: 'trouble', text, href: null, since: null };
}

function budgetsOf({ campaigns, operator }: Known): Need[] {
  const { todayNano, dayBudgetNano, totalNano, budgetNano } = operator;
  const all = [
    { of: 'The budget of the day', href: null, usedNano: todayNano, budgetNano: dayBudgetNano },
    { of: 'The budget of all calls', href: null, usedNano: totalNano, budgetNano },
    ...campaigns.map(({ slug, name, ...amounts }) => ({
      of: `The budget of ${name}`,
      href: `/console/campaigns/${slug}`,
      ...amounts,
    })),
  ];
  return all
    .flatMap(({ of, href, usedNano, budgetNano: budget = 0n }): Need[] => {
      const percent = budget === 0n ? 0n : (usedNano * 100n) / budget;
      if (percent < BUDGET_LOW_PERCENT) return [];
      return [{ kind: 'budget', text: `${of} is used up by ${percent} %.`, href, since: null }];
    })
    .slice(0, NEEDS_MAX);
}

function claimsOf({ refused }: Known): Need[] {
  const count = refused.claim_rate_limited ?? 0;
  if (count === 0) return [];
  const claims = count === 1 ? '1 claim' : `${count} claims`;
  const text = `A brake refused ${claims} within the last hour.`;
  return [{ kind: 'claims', text, href: '/console/campaigns', since: null }];
}
