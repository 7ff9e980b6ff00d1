import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import OpenAI from 'openai';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { safetyIdentifier } from '#libs/secrets/safety-identifier.js';
import { AuditRepository } from '../record/audit.repository.js';
import { KeyService } from '../accounts/key.service.js';
import { Periodic, PeriodicService } from '../periodic.js';

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
const KEYS_AT_ONCE = 10_000;
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
  private readonly client: OpenAI;
  private readonly pepper: KeyObject;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly keys: KeyService,
    private readonly audit: AuditRepository,
  ) {
    super();
    const { safetyKey, baseUrl } = config.openai;
    this.client = new OpenAI({
      apiKey: safetyKey ?? NO_KEY,
      baseURL: baseUrl,
      organization: null,
      project: null,
      maxRetries: 0,
      timeout: LOOKUP_TIMEOUT_MS,
    });
    this.pepper = config.secrets.safetyPepper;
    this.loop = new Periodic(
      EVERY_MS,
      () => this.workOff(),
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
    const found = await this.client.safety.cases.retrieve(id).catch((error: unknown) => {
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
    const keyId = await this.keyOf(found.entity_identifier);
    const note = `the provider's safety case ${id}${found.reason ? ` (${found.reason})` : ''}`;
    // Before it closes the case: repeated, a suspension changes nothing.
    const suspended = keyId !== null && (await this.suspend(keyId, note));
    await this.close(
      id,
      type,
      keyId === null ? 'unknown visitor' : suspended ? 'suspended' : 'revoked before',
      keyId,
      found.reason,
    );
  }

  /** False where the key was revoked before. */
  private async suspend(keyId: string, note: string): Promise<boolean> {
    const [key] = await this.source.query<{ status: string }[]>('SELECT status FROM access.keys WHERE id = $1', [
      keyId,
    ]);
    if (!key || key.status === 'revoked') return false;
    await this.keys.setStatus(keyId, 'suspended', note, 'provider');
    return true;
  }

  private async close(
    id: string,
    type: string,
    outcome: string,
    keyId: string | null,
    reason: string | null,
  ): Promise<void> {
    await this.source.transaction(async (manager) => {
      const [, closed] = await manager.query<[unknown, number]>(
        'UPDATE access.safety_cases SET outcome = $2, key_id = $3, reason = $4 WHERE id = $1 AND outcome IS NULL',
        [id, outcome, keyId, reason],
      );
      if (closed === 0) return;
      const note = `${type} ${id}: ${outcome}${reason ? `, ${reason}` : ''}`;
      await this.audit.appendAct(manager, { act: 'safety', subject: keyId ?? 'unknown', note });
      const who = keyId === null ? 'nobody whom we know' : `the key ${keyId}`;
      const body = {
        type: 'safety.case',
        text: `Daypass: the provider issued a notice (${type}) that names ${who}${reason ? `, for ${reason}` : ''}. ${outcome === 'suspended' ? 'The key is suspended until a person reinstates it.' : 'Nothing was suspended.'}`,
        data: { case: id, notice: type, key: keyId, reason, outcome },
      };
      await manager.query('INSERT INTO access.notices (id, at, body) VALUES ($1, now(), $2) ON CONFLICT DO NOTHING', [
        `safety:${id}`,
        JSON.stringify(body),
      ]);
    });
    this.logger.error({ caseId: id, keyId, outcome, reason }, 'accounting worked off a safety case of the provider');
  }

  /** Nobody can reverse the identifier, so that this compares the identifier of every key. */
  private async keyOf(identifier: string): Promise<string | null> {
    for (let last = ''; ;) {
      const rows = await this.source.query<{ id: string }[]>(
        'SELECT id FROM access.keys WHERE id > $1 ORDER BY id LIMIT $2',
        [last, KEYS_AT_ONCE],
      );
      const found = rows.find(({ id }) => safetyIdentifier(id, this.pepper) === identifier);
      if (found) return found.id;
      if (rows.length < KEYS_AT_ONCE) return null;
      last = rows.at(-1)!.id;
    }
  }
}
