import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { createHmac, randomInt } from 'node:crypto';
import type { DaypassConfig } from '#libs/config/config.js';
import { addressRequestSchema, MAIL_CODE_LENGTH, readMailCode, type Identity } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { DeskClient, deskRefusal } from '../desk/desk.client.js';
import { mayIdentify, unknownLink } from '../domain/claim-link.js';
import { titleOf } from '../domain/claim-words.js';
import { mayClaimFrom } from '../domain/claim-origin.js';
import { readAddress, type EmailAddress } from './email.address.js';
import { publicUrlOf } from '../door/public.url.js';
import { recovering } from '../refusals.js';
import { ClaimAddress } from './claim.address.js';
import * as refused from './claim.refusals.js';
import type { FoundLink } from './claim.store.js';
import { LinkViews, refusalOfFound, stateOfFound } from './link.views.js';
import { MAIL_CODE_LIFE_MS, MailStore } from './mail.store.js';
import { readBody } from './small.body.js';

const MINUTE_MS = 60_000;

/** Mails six digits to an address, and checks them. Nobody learns what an address did here before. */
@Injectable()
export class EmailGate {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly views: LinkViews,
    private readonly address: ClaimAddress,
    private readonly store: MailStore,
    private readonly desk: DeskClient,
  ) {}

  /**
   * The answer comes before the mail, and whatever the address may do. @throws DaypassError where the link takes no
   * address, or where too many mails go out
   */
  async send(token: string, request: FastifyRequest): Promise<{ minutes: number }> {
    const { found, to, tag } = await this.asked(token, request);
    const { link } = found;
    if (!link.gates.includes('email')) throw refused.otherGate('email');
    const state = stateOfFound(found);
    if (!mayIdentify(state)) throw refusalOfFound(found);
    const code = String(randomInt(10 ** MAIL_CODE_LENGTH)).padStart(MAIL_CODE_LENGTH, '0');
    const mayClaim = link.email.domains.length === 0 || link.email.domains.includes(to.domain);
    const taken = await this.store
      .askFor({ ...this.names(link.token, to), tag }, this.hashOf(link.token, to, code), mayClaim)
      .catch(() => {
        throw recovering();
      });
    if (taken.code === 'network' || taken.code === 'total') throw refused.tooManyMails(taken.code, taken.waitMs);
    if (taken.code === 'ok') this.mail(found, to, code, publicUrlOf(request.headers, this.config));
    return { minutes: MAIL_CODE_LIFE_MS / MINUTE_MS };
  }

  /** `claimName`: the digits serve one claim. @throws DaypassError `code_invalid`, `claim_rate_limited` */
  async check(
    { link }: FoundLink,
    given: { email?: string | undefined; email_code?: string | undefined },
    { claimName, tag }: { claimName: string; tag: string },
  ): Promise<Identity> {
    const [to, code] = [readAddress(given.email ?? ''), readMailCode(given.email_code ?? '')];
    if (to === null) throw badAddress();
    if (code === null) throw refused.wrongMailCode('form');
    const { code: codeName } = this.names(link.token, to);
    const checked = await this.store
      .check({ code: codeName, tag }, this.hashOf(link.token, to, code), claimName)
      .catch(() => {
        throw recovering();
      });
    if (checked.code === 'guesses') throw refused.tooMany('guesses', checked.waitMs);
    if (checked.code === 'wrong') throw refused.wrongMailCode('wrong', checked.triesLeft);
    if (checked.code !== 'ok') throw refused.wrongMailCode(checked.code);
    return { kind: 'email', subject: to.subject, label: to.typed };
  }

  /** Leaves an address where no key is left. @throws DaypassError where nobody can wait, or too many do */
  async wait(token: string, request: FastifyRequest): Promise<Record<string, never>> {
    const { found, to, tag } = await this.asked(token, request);
    const state = stateOfFound(found);
    if (state === 'open') throw refused.nothingToWaitFor();
    if (!found.link.waitlist || (state !== 'exhausted' && state !== 'budget_gone')) throw refusalOfFound(found);
    const taken = await this.store.wait(tag).catch(() => {
      throw recovering();
    });
    if (taken.code !== 'silent') throw refused.tooManyMails('network', taken.waitMs);
    const identity: Identity = { kind: 'email', subject: to.subject, label: to.typed };
    const answer = await this.desk.ask({ kind: 'waitlist', link: found.link.id, identity });
    if (!answer.ok) throw deskRefusal(answer);
    return {};
  }

  private async asked(
    token: string,
    request: FastifyRequest,
  ): Promise<{ found: FoundLink; to: EmailAddress; tag: string }> {
    const { email } = readBody(addressRequestSchema, request.body);
    const found = await this.views.find(token, request);
    if (found === null) throw unknownLink();
    if (!mayClaimFrom(request.headers, found.link.origins)) throw refused.originNotAllowed(request.headers.origin);
    const to = readAddress(email);
    if (to === null) throw badAddress();
    return { found, to, tag: this.address.tagOf(request, Date.now()) };
  }

  private mail({ link }: FoundLink, to: EmailAddress, code: string, origin: string): void {
    const filled = new URLSearchParams({ email: to.typed, email_code: code });
    this.desk
      .ask({
        kind: 'mail.code',
        to: to.typed,
        title: titleOf({ page: link.page, campaign: link.slug }),
        code,
        url: `${origin}/c/${link.token}#${filled.toString()}`,
        minutes: MAIL_CODE_LIFE_MS / MINUTE_MS,
      })
      .then((answer) => {
        if (!answer.ok) this.logger.warn({ link: link.id, code: answer.code }, 'accounting could not send a mail');
      })
      .catch((error: unknown) => this.logger.warn({ err: error, link: link.id }, 'a mail did not go out'));
  }

  private names(token: string, { subject }: EmailAddress): { address: string; code: string } {
    return { address: this.hmac(subject), code: this.hmac(`${token} ${subject}`) };
  }

  private hashOf(token: string, { subject }: EmailAddress, code: string): string {
    return this.hmac(`${token} ${subject} ${code}`);
  }

  private hmac(text: string): string {
    return createHmac('sha256', this.config.secrets.mailCodePepper).update(text).digest('base64url');
  }
}

function badAddress(): DaypassError {
  return new DaypassError('invalid_request', "email: must be one e-mail address, such as 'jane@example.org'.", {
    param: 'email',
  });
}
