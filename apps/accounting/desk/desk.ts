import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { deskPayloadSchema, type DeskAnswer, type DeskJob, type DeskPayload } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ClaimService } from '../claims/claim.service.js';
import { Waitlist } from '../claims/waitlist.js';
import { AdminError } from '../domain/admin.error.js';
import { codeMail } from '../domain/mails.js';
import { Mailer, mailFault } from '../mail/mailer.js';
import { storeFault } from '../store/store-fault.js';
import { ClaimReplacer } from './claim.replacer.js';
import { GithubClient } from './github.client.js';
import { HolderDesk } from './holder.desk.js';

/** Answers what visitors ask of the books. Each question gets one answer, also where something fails. */
@Injectable()
export class Desk {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly box: ContentBox,
    private readonly channel: ReplyChannel,
    private readonly claims: ClaimService,
    private readonly holder: HolderDesk,
    private readonly replacer: ClaimReplacer,
    private readonly waitlist: Waitlist,
    private readonly github: GithubClient,
    private readonly mailer: Mailer,
  ) {}

  /** @throws when Redis takes no answer: the visitor asks again under the same Idempotency-Key */
  async serve({ id, replyTo }: DeskJob): Promise<void> {
    const answer = await this.answer(id);
    await this.channel.send({ replyTo, requestId: id, reply: { type: 'desk', body: JSON.stringify(answer) } });
    await this.redis.del(redisKeys.body(id));
  }

  private async answer(id: string): Promise<DeskAnswer> {
    try {
      return { ok: true, data: await this.act(await this.open(id)) };
    } catch (error) {
      const { code, message, details } = this.errorOf(error, id);
      return { ok: false, code, message, ...(details ? { details } : {}) };
    }
  }

  private async open(id: string): Promise<DeskPayload> {
    const sealed = await this.redis.getBuffer(redisKeys.body(id));
    if (sealed === null) throw new DaypassError('recovering', 'The request waited too long. Send it again.');
    return deskPayloadSchema.parse(JSON.parse(this.box.open(sealed, id)));
  }

  private async act(payload: DeskPayload): Promise<unknown> {
    switch (payload.kind) {
      case 'claim':
        return this.claims.claim(payload);
      case 'claim.replace':
        return this.replacer.replace(payload);
      case 'waitlist':
        return this.waitlist.wait(payload);
      case 'github':
        return this.github.account(payload);
      case 'mail.code':
        return this.mail(payload);
      case 'key.calls':
        return this.holder.calls(payload);
      case 'key.rotate':
        return this.holder.rotate(payload);
      case 'key.revoke':
        return this.holder.revoke(payload);
      case 'key.erase':
        return this.holder.erase(payload);
    }
  }

  private async mail(payload: Extract<DeskPayload, { kind: 'mail.code' }>): Promise<unknown> {
    try {
      return await this.mailer.send(payload.to, codeMail(payload));
    } catch (error) {
      if (error instanceof DaypassError) throw error;
      this.logger.warn({ reason: mailFault(error) }, 'the mail server did not take a mail');
      throw new DaypassError('recovering', 'The mail server did not take the mail.');
    }
  }

  private errorOf(error: unknown, id: string): DaypassError {
    if (error instanceof DaypassError) return error;
    const known = error instanceof AdminError ? FROM_ADMIN[error.code] : undefined;
    if (known !== undefined) return new DaypassError(known, (error as AdminError).message);
    const away = error instanceof AdminError ? error.status === 503 : storeFault(error) === 'away';
    if (away) {
      this.logger.warn({ err: error, requestId: id }, 'a store does not answer');
      return new DaypassError('recovering', 'Daypass cannot reach its books at the moment. Send the request again.');
    }
    this.logger.error({ err: error, requestId: id }, 'unexpected error at the desk');
    return new DaypassError(
      'internal_error',
      'Something went wrong inside Daypass. The log of the accounting service has it under this request id.',
    );
  }
}

/** What the books refuse a holder: the key is not there, or it is revoked. */
const FROM_ADMIN: Partial<Record<AdminError['code'], 'not_found' | 'invalid_request'>> = {
  not_found: 'not_found',
  conflict: 'invalid_request',
};
