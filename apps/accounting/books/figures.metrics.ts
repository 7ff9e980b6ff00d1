import { Inject, Injectable } from '@nestjs/common';
import { Gauge, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { usd } from '../domain/usd.js';

const KEY_STATUSES = ['active', 'suspended', 'revoked', 'expired'];

/** A campaign's budget and balance, nano-dollars. `spentNano`: with what the operator absorbed. */
export interface CampaignFigures {
  id: string;
  slug: string;
  budgetNano: bigint;
  spentNano: bigint;
  heldNano: bigint;
}

export interface KeyFigures {
  id: string;
  slug: string;
  spentNano: bigint;
}

export type KeyCount = Record<'status' | 'count', string>;

/** The figures that the sampler reads. */
@Injectable()
export class FiguresMetrics {
  private readonly persistent: Gauge<'store'>;
  private readonly memoryUsed: Gauge;
  private readonly memoryMax: Gauge;
  private readonly budgets: Gauge<'campaign'>;
  private readonly spent: Gauge<'campaign'>;
  private readonly held: Gauge<'campaign'>;
  private readonly campaignInfo: Gauge<'campaign' | 'campaign_id'>;
  private readonly keyCounts: Gauge<'status'>;
  private readonly kept: Gauge;
  private readonly shelved: Gauge;
  private readonly keysSpent: Gauge<'key' | 'campaign'>;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.persistent = new Gauge({
      name: 'daypass_store_persistent',
      help: '1: the store keeps its data over a restart; 0: its append-only file is off or the disk is full',
      labelNames: ['store'],
      registers,
    });
    this.memoryUsed = new Gauge({
      name: 'daypass_redis_memory_bytes',
      help: 'What Redis counts towards its maxmemory',
      registers,
    });
    this.memoryMax = new Gauge({
      name: 'daypass_redis_memory_max_bytes',
      help: 'The maxmemory of Redis, above which new calls get 503; 0: it has none',
      registers,
    });
    this.budgets = new Gauge({
      name: 'daypass_campaign_budget_usd',
      help: 'Budget of an active campaign',
      labelNames: ['campaign'],
      registers,
    });
    this.spent = new Gauge({
      name: 'daypass_campaign_spent_usd',
      help: 'What the calls of an active campaign have used up of its budget: spent, and absorbed by the operator',
      labelNames: ['campaign'],
      registers,
    });
    this.held = new Gauge({
      name: 'daypass_campaign_held_usd',
      help: 'What the running calls of an active campaign hold of its budget',
      labelNames: ['campaign'],
      registers,
    });
    this.campaignInfo = new Gauge({
      name: 'daypass_campaign_info',
      help: 'Always 1: the slug of an active campaign beside its id, for metrics that have the id only',
      labelNames: ['campaign', 'campaign_id'],
      registers,
    });
    this.keyCounts = new Gauge({
      name: 'daypass_keys',
      help: 'Virtual keys by status',
      labelNames: ['status'],
      registers,
    });
    this.kept = new Gauge({
      name: 'daypass_kept_answers_bytes',
      help: 'Bytes of answers that Redis keeps for repeats under an Idempotency-Key',
      registers,
    });
    this.shelved = new Gauge({
      name: 'daypass_shelf_bytes',
      help: 'Bytes of responses and conversations that Redis keeps for later requests',
      registers,
    });
    this.keysSpent = new Gauge({
      name: 'daypass_top_key_spent_usd',
      help: 'What each of the ten keys that spent most has spent',
      labelNames: ['key', 'campaign'],
      registers,
    });
  }

  storeKept(isKept: boolean): void {
    this.persistent.set({ store: 'redis' }, isKept ? 1 : 0);
  }

  redisMemory({ usedBytes, maxBytes }: { usedBytes: number; maxBytes: number }): void {
    this.memoryUsed.set(usedBytes);
    this.memoryMax.set(maxBytes);
  }

  keptAnswers(bytes: number): void {
    this.kept.set(bytes);
  }

  shelf(bytes: number): void {
    this.shelved.set(bytes);
  }

  campaigns(figures: readonly CampaignFigures[]): void {
    for (const gauge of [this.budgets, this.spent, this.held, this.campaignInfo]) gauge.reset();
    for (const { id, slug: campaign, budgetNano, spentNano, heldNano } of figures) {
      this.budgets.set({ campaign }, usd(budgetNano));
      this.spent.set({ campaign }, usd(spentNano));
      this.held.set({ campaign }, usd(heldNano));
      this.campaignInfo.set({ campaign, campaign_id: id }, 1);
    }
  }

  keys(counts: readonly KeyCount[]): void {
    for (const status of KEY_STATUSES)
      this.keyCounts.set({ status }, Number(counts.find((row) => row.status === status)?.count ?? 0));
  }

  topKeys(figures: readonly KeyFigures[]): void {
    this.keysSpent.reset();
    for (const { id: key, slug: campaign, spentNano } of figures) this.keysSpent.set({ key, campaign }, usd(spentNano));
  }
}
