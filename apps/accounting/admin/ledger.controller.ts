import { Controller, Get, Query, Res, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ledgerProofAnswer, type LedgerProof } from '#libs/contracts/admin/audit.js';
import { LedgerVerifier } from '../books/ledger.verifier.js';
import { CAMPAIGN_STATEMENT, KEY_STATEMENT, StatementList } from '../books/statement.list.js';
import { exportStatementSchema, type ExportStatement } from '../schemas/audit.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Downloads } from './downloads.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('ledger')
@UseGuards(AdminGuard)
@Controller('admin/v1')
export class LedgerController {
  constructor(
    private readonly verifier: LedgerVerifier,
    private readonly statements: StatementList,
    private readonly downloads: Downloads,
  ) {}

  @Get('ledger/verify')
  @Documented({
    summary:
      'Prove the books: every transfer sums to zero, every call has one end, Redis agrees, the provider billed no more',
    answer: 'What was checked, and what is wrong',
    shape: ledgerProofAnswer,
  })
  verify(): Promise<LedgerProof> {
    return this.verifier.verify();
  }

  @Get('statement/export')
  @Documented({
    summary: 'What the ledger moved within a period, by campaign or by key, as JSON Lines or CSV',
    answer: 'A line for each campaign or key that had a booking',
    query: exportStatementSchema,
    errors: [400],
  })
  statement(
    @Query(new ZodPipe(exportStatementSchema)) { by, format, ...period }: ExportStatement,
    @Res() reply: FastifyReply,
  ): FastifyReply {
    return by === 'key'
      ? this.downloads.send(reply, {
          name: 'statement-by-key',
          columns: KEY_STATEMENT,
          format,
          rows: this.statements.byKey(period),
        })
      : this.downloads.send(reply, {
          name: 'statement-by-campaign',
          columns: CAMPAIGN_STATEMENT,
          format,
          rows: this.statements.byCampaign(period),
        });
  }
}
