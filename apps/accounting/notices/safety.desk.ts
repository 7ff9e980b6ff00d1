import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type OpenAI from 'openai';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { safetyIdentifier } from '#libs/secrets/safety-identifier.js';
import { AuditRepository } from '../record/audit.repository.js';
import { VisitorActs } from '../accounts/visitor.acts.js';
import type { FoundVisitor } from '../record/visitor.finder.js';
import { DueWork } from '../due.work.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { providerClient } from '../provider.client.js';

interface Case {
  id: string;
  type: string;
  attempts: number;
}

const EVERY_MS = 1_000;
const BATCH = 10;
const LOOKUP_TIMEOUT_MS = 10_000;
/** The provider refuses it, and the log says so. */
const NO_KEY = 'set OPENAI_SAFETY_KEY';
const VISITORS_AT_ONCE = 10_000;
/** 2 s, 4 s, … an hour: about a day in all. */
const ATTEMPTS_MAX = 30;
const PAUSE_MAX_SECONDS = 3_600;

/**
 * Fetches the cases of the provider's safety notices, suspends the visitor whom a case names, and notifies the
 * operator.
 */
@Injectable()
export class SafetyDesk extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly client: () => Promise<OpenAI>;
  private readonly pepper: KeyObject;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly acts: VisitorActs,
    private readonly audit: AuditRepository,
    dueWork: DueWork,
  ) {
    super();
    const { safetyKey, baseUrl } = config.openai;
    this.client = providerClient({
      apiKey: safetyKey ?? NO_KEY,
      baseURL: baseUrl,
      maxRetries: 0,
      timeout: LOOKUP_TIMEOUT_MS,
    });
    this.pepper = config.secrets.safetyPepper;
    this.loop = new Periodic(
      EVERY_MS,
      async () => {
        if ((await dueWork.now()).safetyCases) await this.workOff();
      },
      (error) =>
        logger.warn({ err: error }, "accounting could not work off the provider's safety notices; it tries again"),
    );
  }

  private async workOff(): Promise<void> {
    const [due] = await this.source.query<[Case[], number]>(
      `UPDATE access.safety_cases SET next_at = now() + make_interval(secs => least(2 ^ least(attempts + 1, 20), ${PAUSE_MAX_SECONDS})), attempts = attempts + 1
        WHERE id IN (SELECT id FROM access.safety_cases WHERE outcome IS NULL AND next_at <= now() ORDER BY next_at LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
        RETURNING id, type, attempts`,
    );
    for (const one of due) await this.decide(one);
  }

  private async decide({ id, type, attempts }: Case): Promise<void> {
    const { safety } = await this.client();
    const found = await safety.cases.retrieve(id).catch((error: unknown) => {
      this.logger.warn(
        { caseId: id, attempts, reason: error instanceof Error ? error.message : String(error) },
        'accounting could not fetch a safety case of the provider; it tries again',
      );
      return null;
    });
    if (!found) {
      if (attempts >= ATTEMPTS_MAX) await this.close(id, type, 'not found', null, null);
      return;
    }
    const visitor = await this.visitorOf(found.entity_identifier);
    const note = `the provider's safety case ${id}${found.reason ? ` (${found.reason})` : ''}`;
    // Before it closes the case: repeated, a suspension changes nothing.
    const suspended = visitor !== null && (await this.suspend(visitor.id, note));
    const outcome = visitor === null ? 'unknown visitor' : suspended ? 'suspended' : 'revoked before';
    await this.close(id, type, outcome, visitor, found.reason);
  }

  /** False where all of its keys were revoked before. */
  private async suspend(visitorId: string, note: string): Promise<boolean> {
    await this.acts.setStatus(visitorId, 'suspend', note, 'provider');
    const [suspended] = await this.source.query<unknown[]>(
      `SELECT 1 FROM access.keys WHERE (id = $1 OR claimant_id = $1) AND status = 'suspended' LIMIT 1`,
      [visitorId],
    );
    return suspended !== undefined;
  }

  private async close(
    id: string,
    type: string,
    outcome: string,
    visitor: FoundVisitor | null,
    reason: string | null,
  ): Promise<void> {
    const visitorId = visitor?.id ?? null;
    const keyId = visitor?.isClaimant === false ? visitor.id : null;
    await this.source.transaction(async (manager) => {
      const [, closed] = await manager.query<[unknown, number]>(
        'UPDATE access.safety_cases SET outcome = $2, key_id = $3, reason = $4, visitor_id = $5 WHERE id = $1 AND outcome IS NULL',
        [id, outcome, keyId, reason, visitorId],
      );
      if (closed === 0) return;
      const note = `${type} ${id}: ${outcome}${reason ? `, ${reason}` : ''}`;
      await this.audit.appendAct(manager, { act: 'safety', subject: visitorId ?? 'unknown', note });
      const named = keyId === null ? `the visitor ${visitorId}` : `the key ${keyId}`;
      const who = visitorId === null ? 'nobody whom we know' : named;
      const suspended = keyId === null ? 'All of its keys are suspended' : 'The key is suspended';
      const body = {
        type: 'safety.case',
        text: `Daypass: the provider issued a notice (${type}) that names ${who}${reason ? `, for ${reason}` : ''}. ${outcome === 'suspended' ? `${suspended} until a person reinstates ${keyId === null ? 'them' : 'it'}.` : 'Nothing was suspended.'}`,
        data: {
          case: id,
          notice: type,
          key: keyId,
          ...(keyId === null && visitorId !== null ? { visitor: visitorId } : {}),
          reason,
          outcome,
        },
      };
      await manager.query('INSERT INTO access.notices (id, at, body) VALUES ($1, now(), $2) ON CONFLICT DO NOTHING', [
        `safety:${id}`,
        JSON.stringify(body),
      ]);
    });
    this.logger.error(
      { caseId: id, visitorId, outcome, reason },
      'accounting worked off a safety case of the provider',
    );
  }

  /** Nobody can reverse the identifier, so that this compares that of every claimant, and of every key without one. */
  private async visitorOf(identifier: string): Promise<FoundVisitor | null> {
    for (const isClaimant of [true, false]) {
      const from = isClaimant ? 'access.claimants WHERE' : 'access.keys WHERE claimant_id IS NULL AND';
      for (let last = ''; ;) {
        const rows = await this.source.query<{ id: string }[]>(`SELECT id FROM ${from} id > $1 ORDER BY id LIMIT $2`, [
          last,
          VISITORS_AT_ONCE,
        ]);
        const found = rows.find(({ id }) => safetyIdentifier(id, this.pepper) === identifier);
        if (found) return { id: found.id, isClaimant };
        if (rows.length < VISITORS_AT_ONCE) break;
        last = rows.at(-1)!.id;
      }
    }
    return null;
  }
}
