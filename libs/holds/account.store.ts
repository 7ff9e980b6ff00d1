import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

export interface CampaignProjection {
  id: string;
  version: number;
  budgetNano: bigint;
  slug: string;
  status: 'active' | 'closed';
  models: readonly string[];
  policy: unknown;
  toolPrices: unknown;
  weight: number;
}

export interface KeyProjection {
  id: string;
  version: number;
  budgetNano: bigint;
  campaignId: string;
  label: string;
  status: 'active' | 'suspended' | 'revoked';
  /** Milliseconds since the epoch; 0 never expires. */
  expiresMs: number;
  limits: { rpm: number; tpm: number; concurrent: number };
  models: readonly string[] | null;
  policy: unknown;
  /** When a person reinstated the key, ms since the epoch; 0 never. Earlier strikes no longer count. */
  strikesSinceMs: number;
  tokenHash: string;
  /** After a rotation: the hash of the former token, which no longer opens anything. */
  formerTokenHash?: string | undefined;
}

export interface ProjectionAnswer {
  /**
   * `below`: the new budget does not cover what is spent and held. `stale`: Redis has a newer version. Neither changes
   * anything.
   */
  code: 'projected' | 'stale' | 'below';
  /** Spent and held together, nano-dollars. */
  usedNano: bigint;
}

/** Projects campaigns and keys into Redis, where the other services read them. */
export class AccountStore {
  private readonly script: Script;

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'project-account');
  }

  async projectCampaign(campaign: CampaignProjection): Promise<ProjectionAnswer> {
    const { slug, status, models, policy, toolPrices, weight } = campaign;
    const definition = [
      'slug',
      slug,
      'status',
      status,
      'models',
      JSON.stringify(models),
      'policy',
      JSON.stringify(policy),
    ];
    definition.push('tool_prices', JSON.stringify(toolPrices), 'weight', String(weight));
    return this.project([redisKeys.campaign(campaign.id)], campaign, definition);
  }

  async projectKey(key: KeyProjection): Promise<ProjectionAnswer> {
    const keys = [redisKeys.key(key.id), redisKeys.token(key.tokenHash)];
    if (key.formerTokenHash !== undefined) keys.push(redisKeys.token(key.formerTokenHash));
    const definition = [
      'campaign',
      key.campaignId,
      'label',
      key.label,
      'status',
      key.status,
      'expires_ms',
      key.expiresMs,
      'rpm',
      key.limits.rpm,
      'tpm',
      key.limits.tpm,
      'concurrent',
      key.limits.concurrent,
      'models',
      JSON.stringify(key.models),
      'policy',
      JSON.stringify(key.policy),
      'strikes_since',
      key.strikesSinceMs,
    ];
    return this.project(keys, key, definition);
  }

  private async project(
    keys: string[],
    account: { id: string; version: number; budgetNano: bigint },
    definition: (string | number)[],
  ): Promise<ProjectionAnswer> {
    const [code, used] = (await this.script(keys, [
      account.version,
      account.budgetNano.toString(),
      account.id,
      ...definition,
    ])) as [string, string];
    return { code: code as ProjectionAnswer['code'], usedNano: BigInt(used) };
  }
}
