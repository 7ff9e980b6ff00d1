import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { showCode } from '#libs/secrets/claim-code.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { claimOf, linkUrl } from '../domain/link.js';
import { inviteMail } from '../domain/mails.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { VisitorVault } from '../record/visitor.vault.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { visitorsUrl } from '../visitors-url.js';
import { Mailer, mailFault } from './mailer.js';

interface Due {
  id: string;
  claimant_id: string;
  label_sealed: Buffer | null;
  code_id: string;
  code_sealed: Buffer;
  attempts: number;
}

const EVERY_MS = 2_000;
const BATCH = 10;
/** 4 s, 8 s, … an hour: about eight hours in all. */
const ATTEMPTS_MAX = 18;
const PAUSE_MAX_SECONDS = 3_600;
/** So long an invitation belongs to the process that took it. */
const CLAIM = `interval '2 minutes'`;

/** Mails the codes of invited people until the operator's server takes each mail. */
@Injectable()
export class InviteSender extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly vault: VisitorVault,
    private readonly box: ContentBox,
    private readonly mailer: Mailer,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.sendDue(),
      (error) => logger.warn({ err: error }, 'accounting could not send invitations; it tries again'),
    );
  }

  override onApplicationBootstrap(): void {
    if (this.mailer.isSetUp) super.onApplicationBootstrap();
  }

  async sendDue(): Promise<void> {
    const [due] = await this.source.query<[Due[], number]>(
      `UPDATE access.waitlist SET next_at = now() + ${CLAIM}, attempts = attempts + 1 FROM access.claimants claimant
        WHERE claimant.id = waitlist.claimant_id AND waitlist.id IN (
          SELECT id FROM access.waitlist WHERE code_sealed IS NOT NULL AND next_at <= now() ORDER BY next_at LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
        RETURNING waitlist.id, claimant_id, claimant.label_sealed, code_id, code_sealed, attempts`,
    );
    for (const one of due) await this.send(one);
  }

  private async send({ id, claimant_id, label_sealed, code_id, code_sealed, attempts }: Due): Promise<void> {
    const { manager } = this.source;
    const to = label_sealed && (await this.vault.open(manager, claimant_id, claimant_id, label_sealed));
    const found = await manager.findOne(ClaimCode, {
      where: { id: code_id },
      relations: { link: { campaign: true } },
    });
    // Somebody erased the address, or voided the code, meanwhile.
    if (to === null || found === null || found.voidedAt !== null) return this.forget(id, false);
    const code = this.box.open(code_sealed, id);
    const { title, contact } = claimOf(found.link!.campaign!);
    const url = `${linkUrl(visitorsUrl(this.config), found.link!.token)}#code=${code}`;
    try {
      await this.mailer.send(to, inviteMail({ title, contact, url, code: showCode(code), expiresAt: found.expiresAt }));
      await this.forget(id, true);
    } catch (error) {
      await this.failed(id, attempts, error);
    }
  }

  private async failed(id: string, attempts: number, error: unknown): Promise<void> {
    const reason = mailFault(error);
    if (attempts >= ATTEMPTS_MAX) {
      this.logger.error({ waiting: id, reason }, 'no mail server took an invitation; accounting gives up');
      return this.forget(id, false);
    }
    this.logger.warn({ waiting: id, attempts, reason }, 'the mail server did not take an invitation');
    const seconds = Math.min(PAUSE_MAX_SECONDS, 2 ** (attempts + 1));
    await this.source.query('UPDATE access.waitlist SET next_at = now() + make_interval(secs => $2) WHERE id = $1', [
      id,
      seconds,
    ]);
  }

  /** The code goes. Its hash stays with the link. */
  private async forget(id: string, isSent: boolean): Promise<void> {
    await this.source.query(
      'UPDATE access.waitlist SET code_sealed = NULL, mailed_at = CASE WHEN $2 THEN now() END WHERE id = $1',
      [id, isSent],
    );
  }
}
