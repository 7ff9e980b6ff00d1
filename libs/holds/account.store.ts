import type { Redis } from 'ioredis';
import type { CampaignPage } from '#libs/contracts/key-state.js';
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
  /** The origins whose pages may use its keys; null: all. */
  origins: readonly string[] | null;
  /** Milliseconds since the epoch; 0: it is open, or nobody knows. */
  closedMs?: number;
  /** null: for ever. */
  retentionDays?: number | null;
  /** What its claim page says of the project; absent or null: it has none. */
  page?: CampaignPage | null;
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
  /** Milliseconds since the epoch; 0: nobody revoked it, or nobody knows when. */
  revokedMs?: number;
  /** Before it the key is refused, milliseconds since the epoch; absent or 0: it may call at once. */
  startsMs?: number | undefined;
  /** The time to live of a key whose time begins with its first call; absent or 0: `expiresMs` says its end. */
  ttlFromUseMs?: number | undefined;
  /** `bytes_per_hour`: 0, or absent, is the operator's default. */
  limits: { rpm: number; tpm: number; concurrent: number; bytes_per_hour?: number | undefined };
  models: readonly string[] | null;
  policy: unknown;
  /** When a person reinstated the key, ms since the epoch; 0 never. Earlier strikes no longer count. */
  strikesSinceMs: number;
  /** Who claimed it; absent or null: the key itself is the visitor. */
  claimantId?: string | null | undefined;
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
  private readonly forgetScript: Script;

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'project-account');
    this.forgetScript = defineScript(redis, 'forget-kept');
  }

  async projectCampaign(campaign: CampaignProjection): Promise<ProjectionAnswer> {
    const {
      slug,
      status,
      models,
      policy,
      toolPrices,
      weight,
      origins,
      closedMs = 0,
      retentionDays,
      page = null,
    } = campaign;
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
    definition.push('origins', JSON.stringify(origins));
    definition.push('closed_ms', String(closedMs), 'retention_days', String(retentionDays ?? 0));
    definition.push('page', JSON.stringify(page));
    return this.project([redisKeys.campaign(campaign.id)], campaign, '', definition);
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
      'revoked_ms',
      key.revokedMs ?? 0,
      'rpm',
      key.limits.rpm,
      'tpm',
      key.limits.tpm,
      'concurrent',
      key.limits.concurrent,
      'bytes_per_hour',
      key.limits.bytes_per_hour ?? 0,
      'models',
      JSON.stringify(key.models),
      'policy',
      JSON.stringify(key.policy),
      'strikes_since',
      key.strikesSinceMs,
      'starts_ms',
      key.startsMs ?? 0,
      'ttl_from_use_ms',
      key.ttlFromUseMs ?? 0,
      'visitor',
      key.claimantId ?? '',
    ];
    return this.project(keys, key, redisKeys.keptPrefix + key.id, definition);
  }

  /** Deletes the answers that Redis keeps for a key's repeats, where its end comes without a projection. */
  async forgetAnswers(keyId: string): Promise<void> {
    await this.forgetScript([redisKeys.keptPrefix + keyId, redisKeys.keptBytes], [idempotencyPrefix(keyId)]);
  }

  private async project(
    keys: string[],
    account: { id: string; version: number; budgetNano: bigint },
    kept: string,
    definition: (string | number)[],
  ): Promise<ProjectionAnswer> {
    const [code, used] = (await this.script(keys, [
      account.version,
      account.budgetNano.toString(),
      account.id,
      redisKeys.keptBytes,
      kept,
      idempotencyPrefix(account.id),
      redisKeys.shelfPrefix,
      redisKeys.visitorPrefix,
      ...definition,
    ])) as [string, string];
    return { code: code as ProjectionAnswer['code'], usedNano: BigInt(used) };
  }
}

/** Followed by the hash of a name. */
const idempotencyPrefix = (keyId: string): string => `${redisKeys.idempotencyPrefix}${keyId}:`;
