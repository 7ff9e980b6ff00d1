import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { In, IsNull } from 'typeorm';
import type { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { CodeView, newCodesAnswer } from '#libs/contracts/admin/claims.js';
import { createCode, hashCode, showCode } from '#libs/secrets/claim-code.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { newestFirst } from '../accounts/newest-first.js';
import { newCodeId } from '../domain/account-id.js';
import { AdminError } from '../domain/admin.error.js';
import { showCodeRow } from '../domain/claim-code.js';
import { linkUrl } from '../domain/link.js';
import type { CreateCodes, VoidCodes } from '../schemas/claim.schemas.js';
import type { List } from '../schemas/list.schemas.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { Claim } from '../store/entities/claim.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { visitorsUrl } from '../visitors-url.js';
import { findLink } from './link.service.js';

/** Codes of one link, used and voided ones as well. */
const CODES_OF_LINK_MAX = 200_000;

export type NewCodes = z.output<typeof newCodesAnswer>;

/** One-time codes of claim links. */
@Injectable()
export class CodeService {
  private readonly pepper: KeyObject;
  private readonly url: string;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly work: UnitOfWork,
  ) {
    this.pepper = config.secrets.codePepper;
    this.url = visitorsUrl(config);
  }

  /** The answer has the codes, which nothing can show again. */
  async create(linkId: string, { count = 0, labels, expires_at }: CreateCodes): Promise<NewCodes> {
    return this.work.run(async ({ manager }) => {
      const { link } = await findLink(manager, linkId);
      if (!link.gates.includes('code'))
        throw new AdminError(
          'conflict',
          `gates: the link '${linkId}' asks for no code. Give it "gates": ["code"] first. Nothing was changed.`,
          { param: 'gates' },
        );
      if (link.status === 'closed') throw new AdminError('conflict', `The link '${linkId}' has ended.`);
      const names = labels ?? Array<string>(count).fill('');
      if ((await manager.countBy(ClaimCode, { linkId })) + names.length > CODES_OF_LINK_MAX)
        throw new AdminError('conflict', `A link has at most ${CODES_OF_LINK_MAX} codes. Make another link.`);
      const createdAt = new Date();
      const codes = names.map((label) => ({ id: newCodeId(), label, code: createCode() }));
      const rows = codes.map(({ id, label, code }) => ({
        id,
        linkId,
        hash: hashCode(code, this.pepper),
        label,
        claimantId: null,
        expiresAt: expires_at,
        usedAt: null,
        voidedAt: null,
        createdAt,
      }));
      await manager.insert(ClaimCode, rows);
      const address = linkUrl(this.url, link.token);
      return {
        data: codes.map(({ id, label, code }) => ({
          id,
          label,
          code: showCode(code),
          // Behind the # so that no server and no log has it.
          url: `${address}#code=${code}`,
          expires_at: expires_at?.toISOString() ?? null,
        })),
      };
    });
  }

  async list(linkId: string, page: List): Promise<Page<CodeView>> {
    const { manager } = this.work;
    await findLink(manager, linkId);
    const query = manager.createQueryBuilder(ClaimCode, 'code').where('code.link_id = :linkId', { linkId });
    const now = new Date();
    return newestFirst(query, page, async (rows) => {
      const claims = await manager.find(Claim, {
        where: { codeId: In(rows.map(({ id }) => id)) },
        select: { codeId: true, keyId: true },
      });
      const keys = new Map(claims.map(({ codeId, keyId }) => [codeId, keyId]));
      return rows.map((row) => showCodeRow(row, keys.get(row.id) ?? null, now));
    });
  }

  /** Voids what nobody used. Returns how many codes that were. */
  async void({ ids, link }: VoidCodes): Promise<number> {
    return this.work.run(async ({ manager }) => {
      if (link !== undefined) await findLink(manager, link);
      const which = ids === undefined ? { linkId: link! } : { id: In([...new Set(ids)]) };
      const { affected } = await manager.update(
        ClaimCode,
        { ...which, usedAt: IsNull(), voidedAt: IsNull() },
        { voidedAt: new Date() },
      );
      return affected ?? 0;
    });
  }
}
