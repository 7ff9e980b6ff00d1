import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Signer } from '#libs/secrets/signer.js';
import { RecordMetrics } from './record.metrics.js';
import { checkpointText, type Link } from '../domain/audit.chain.js';
import { DueWork } from '../due.work.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { AuditRepository } from './audit.repository.js';

const EVERY_MS = 1_000;
/** While nothing is recorded, it looks this often whether the record still has what accounting signed. */
const LOOK_EVERY_MS = 5_000;

const anchorSchema = z.object({ seq: z.number().int(), hash: z.string(), at: z.number().int(), signature: z.string() });

/** A signed link of the chain. */
export interface Checkpoint extends Link {
  atMs: number;
  signature: Buffer;
}

/**
 * Signs the head of the record each second, in Postgres and in Redis. The copy in Redis shows when somebody cuts off
 * the end together with its signatures. Where the record no longer reaches a signed link, nothing more is signed.
 */
@Injectable()
export class CheckpointSigner extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly signer: Signer;
  private signed = 0;
  private lookedAtMs = -Infinity;
  private isCut = false;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @InjectDataSource() private readonly source: DataSource,
    private readonly audit: AuditRepository,
    private readonly metrics: RecordMetrics,
    private readonly dueWork: DueWork,
  ) {
    super();
    this.signer = new Signer(config.secrets.auditSeed);
    this.loop = new Periodic(
      EVERY_MS,
      () => this.sign(),
      (error) => logger.warn({ err: error }, 'accounting could not sign the record; it tries again'),
    );
  }

  /** SPKI, base64. Anybody can check signatures with it. */
  get publicKey(): string {
    return this.signer.publicKeyText;
  }

  isGenuine({ atMs, signature, ...link }: Checkpoint): boolean {
    return this.signer.isSigned(checkpointText(link, atMs), signature);
  }

  /** The newest signed link that Redis has; null where Redis lost it, or where somebody else wrote it. */
  async anchor(): Promise<Checkpoint | null> {
    const text = await this.redis.get(redisKeys.auditAnchor);
    if (text === null) return null;
    try {
      const { seq, hash, at, signature } = anchorSchema.parse(JSON.parse(text));
      const checkpoint = { seq, hash, atMs: at, signature: Buffer.from(signature, 'base64') };
      return this.isGenuine(checkpoint) ? checkpoint : null;
    } catch {
      return null;
    }
  }

  private async sign(): Promise<void> {
    const { recordSeq: seq } = await this.dueWork.now();
    const nowMs = performance.now();
    if (!this.isCut && seq === this.signed && nowMs - this.lookedAtMs < LOOK_EVERY_MS)
      return this.metrics.recordSealed(Date.now());
    this.lookedAtMs = nowMs;
    const anchor = await this.anchor();
    // The head that it signs is of the moment in which the record still had the last signed link.
    const { head, hashAt } = await this.audit.headAndHashAt(this.source.manager, anchor?.seq ?? 0);
    const isCut = anchor !== null && anchor.seq > 0 && hashAt !== anchor.hash;
    if (isCut && !this.isCut)
      this.logger.error(
        { seq: anchor.seq, head: head.seq },
        'the record lacks a link that accounting signed: somebody cut off or rewrote rows',
      );
    this.isCut = isCut;
    this.metrics.recordCut(isCut);
    if (isCut) return;
    const atMs = Date.now();
    if (head.seq > 0 && (head.seq !== this.signed || anchor === null)) await this.signHead(head, atMs);
    this.metrics.recordSealed(atMs);
  }

  private async signHead(head: Link, atMs: number): Promise<void> {
    const signature = this.signer.sign(checkpointText(head, atMs));
    await this.source.query(
      `INSERT INTO audit.checkpoints (seq, hash, at, signature) VALUES ($1, decode($2, 'hex'), $3, $4) ON CONFLICT DO NOTHING`,
      [head.seq, head.hash, new Date(atMs), signature],
    );
    await this.redis.set(
      redisKeys.auditAnchor,
      JSON.stringify({ ...head, at: atMs, signature: signature.toString('base64') }),
    );
    this.signed = head.seq;
  }
}
