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
import { Outbox, type Waiting } from '../outbox.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { VisitorVault } from '../record/visitor.vault.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { visitorsUrl } from '../visitors-url.js';
import { Mailer, mailFault } from './mailer.js';

interface Invitation extends Waiting {
  claimant_id: string;
  label_sealed: Buffer | null;
  code_id: string;
  code_sealed: Buffer;
}

const EVERY_MS = 2_000;

/** Mails the codes of invited people until the operator's server takes each mail. */
@Injectable()
export class InviteSender extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly outbox: Outbox<Invitation>;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) logger: Logger,
    private readonly vault: VisitorVault,
    private readonly box: ContentBox,
    private readonly mailer: Mailer,
  ) {
    super();
    this.outbox = new Outbox(source, logger, {
      table: 'access.waitlist',
      columns:
        'claimant_id, code_id, code_sealed, (SELECT label_sealed FROM access.claimants WHERE claimants.id = claimant_id)',
      where: 'code_sealed IS NOT NULL',
      batch: 10,
      takenForSeconds: 120,
      // About eight hours in all.
      attemptsMax: 19,
      refused: 'the mail server did not take an invitation',
      reasonOf: mailFault,
    });
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
    for (const one of await this.outbox.take()) await this.send(one);
  }

  private async send(invitation: Invitation): Promise<void> {
    const { id, claimant_id, label_sealed, code_id, code_sealed } = invitation;
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
    const mail = inviteMail({ title, contact, url, code: showCode(code), expiresAt: found.expiresAt });
    await this.outbox.deliver(
      invitation,
      async () => {
        await this.mailer.send(to, mail);
        await this.forget(id, true);
      },
      () => this.forget(id, false),
    );
  }

  /** The code goes. Its hash stays with the link. */
  private async forget(id: string, isSent: boolean): Promise<void> {
    await this.source.query(
      'UPDATE access.waitlist SET code_sealed = NULL, mailed_at = CASE WHEN $2 THEN now() END WHERE id = $1',
      [id, isSent],
    );
  }
}
