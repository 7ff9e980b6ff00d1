import { Inject, Injectable } from '@nestjs/common';
import type OpenAI from 'openai';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable, MODERATION_LANE } from '#libs/pacing/lanes.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { providerClient } from '../provider.client.js';

const TIMEOUT_MS = 30_000;
const ROWS_MAX = 5_000;
const MOST = 1e12;

const count = z.number().int().min(0).max(MOST);
const rowSchema = z.object({
  model: z.string(),
  max_requests_per_1_minute: count,
  max_tokens_per_1_minute: count,
  max_requests_per_1_day: count.nullish(),
  max_images_per_1_minute: count.nullish(),
});
type Row = z.infer<typeof rowSchema>;

/**
 * Takes over the provider's limits for the projects of OPENAI_PROJECT_ID (`/organization/projects/{id}/rate_limits`).
 * Every lane whose models the provider names gets them. It is off without an admin key or a project.
 */
@Injectable()
export class ProjectLimits extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly client: (() => Promise<OpenAI>) | null;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly lanes: LaneTable,
    private readonly line: LaneLine,
  ) {
    super();
    const { adminKey: adminAPIKey, adminBaseUrl: baseURL, projectIds, everyMs } = config.reconcile;
    const wanted = adminAPIKey !== undefined && projectIds.length > 0;
    this.client = wanted ? providerClient({ adminAPIKey, apiKey: null, baseURL, timeout: TIMEOUT_MS }) : null;
    this.loop = new Periodic(
      everyMs,
      async () => void (await this.run()),
      (error) => logger.warn({ err: error }, "accounting could not read the project's rate limits"),
    );
  }

  override onApplicationBootstrap(): void {
    if (this.client) super.onApplicationBootstrap();
  }

  /** Returns the lanes whose limits it took over. */
  async run(): Promise<string[]> {
    if (!this.client) return [];
    const rows = await this.read(await this.client());
    const changed: string[] = [];
    for (const lane of this.lanes.all()) {
      const its = rows.filter(({ model }) => this.isIn(lane, model));
      const limits = {
        rpm: least(its, 'max_requests_per_1_minute'),
        tpm: least(its, 'max_tokens_per_1_minute'),
        rpd: least(its, 'max_requests_per_1_day'),
        ipm: least(its, 'max_images_per_1_minute'),
      };
      if (Object.values(limits).every((limit) => limit === 0)) continue;
      await this.line.takeOver(lane, limits);
      changed.push(lane);
    }
    this.logger.info({ lanes: changed }, "lanes took over the project's rate limits");
    return changed;
  }

  private async read(client: OpenAI): Promise<Row[]> {
    const rows: Row[] = [];
    for (const project of this.config.reconcile.projectIds) {
      for await (const row of client.admin.organization.projects.rateLimits.listRateLimits(project)) {
        const parsed = rowSchema.safeParse(row);
        if (parsed.success) rows.push(parsed.data);
        if (rows.length >= ROWS_MAX) return rows;
      }
    }
    return rows;
  }

  private isIn(lane: string, model: string): boolean {
    return lane === MODERATION_LANE
      ? model === this.config.moderationModel || model === 'omni-moderation-latest'
      : this.lanes.laneOf(model) === lane && this.lanes.isNamed(model);
  }
}

/** Models of a lane share its limits, so the least one counts; 0 where the provider names none. */
function least(rows: readonly Row[], of: keyof Omit<Row, 'model'>): number {
  const limits = rows.map((row) => row[of] ?? 0).filter((limit) => limit > 0);
  return limits.length > 0 ? Math.min(...limits) : 0;
}
