import { Readable } from 'node:stream';
import { Body, Controller, Get, HttpCode, Param, Post, Query, Res, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { stringify } from 'csv-stringify';
import type { FastifyReply } from 'fastify';
import { CallList } from '../record/call.list.js';
import { AuditReader, type RequestView } from '../record/audit.reader.js';
import { AuditVerifier, type AuditVerification } from '../record/audit.verifier.js';
import { VisitorEraser, type ErasedVisitor } from '../record/visitor.eraser.js';
import type { CallView } from '../domain/call.view.js';
import type { CheckView } from '../domain/check.view.js';
import type { Page } from '../domain/cursor.js';
import { AdminGuard } from './admin.guard.js';
import { callAnswer, checkAnswer, pageOfAnswers } from '../schemas/answer.schemas.js';
import {
  eraseSchema,
  exportChecksSchema,
  listChecksSchema,
  listRequestsSchema,
  type Erase,
  type ExportChecks,
  type ListChecks,
  type ListRequests,
} from '../schemas/audit.schemas.js';
import { AsCsv } from './csv.interceptor.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

const CSV_COLUMNS: (keyof CheckView)[] = [
  'at',
  'id',
  'request_id',
  'campaign',
  'key',
  'visitor',
  'direction',
  'guard',
  'model',
  'decision',
  'categories',
  'scores',
  'thresholds',
  'policy_version',
  'latency_ms',
  'reason',
  'seq',
];

const CALL_COLUMNS: (keyof CallView)[] = [
  'at',
  'id',
  'campaign',
  'key',
  'key_label',
  'visitor',
  'endpoint',
  'model',
  'stream',
  'input',
  'output',
  'result',
  'held_usd',
  'paid_usd',
  'policy_version',
];

@ApiTags('audit')
@UseGuards(AdminGuard)
@Controller('admin/v1')
export class AuditController {
  constructor(
    private readonly reader: AuditReader,
    private readonly calls: CallList,
    private readonly verifier: AuditVerifier,
    private readonly eraser: VisitorEraser,
  ) {}

  @Get('audit/verify')
  @Documented({
    summary: 'Prove the record: nobody edited, deleted, moved or cut off a row, and each content fits its row',
    answer: 'What was checked, what is wrong and where, and the last link of the chain',
  })
  verify(): Promise<AuditVerification> {
    return this.verifier.verify();
  }

  @Get('checks')
  @Documented({
    summary: 'List checks, newest first; `decision` takes several with commas between them',
    answer: 'A page of checks',
    shape: pageOfAnswers(checkAnswer),
    query: listChecksSchema,
    errors: [400],
  })
  checks(@Query(new ZodPipe(listChecksSchema)) filters: ListChecks): Promise<Page<CheckView>> {
    return this.reader.checks(filters);
  }

  @Get('checks/export')
  @Documented({
    summary: 'All checks that the filters let through, newest first, as JSON Lines or CSV',
    answer: 'A line for each check',
    query: exportChecksSchema,
    errors: [400],
  })
  export(
    @Query(new ZodPipe(exportChecksSchema)) { format, ...filters }: ExportChecks,
    @Res() reply: FastifyReply,
  ): FastifyReply {
    const rows = this.reader.export(filters);
    if (format === 'jsonl') return reply.type('application/x-ndjson').send(Readable.from(jsonLines(rows)));
    // Text of a guard or a model must not become a formula in a spreadsheet.
    const csv = stringify({ header: true, columns: CSV_COLUMNS, escape_formulas: true });
    const source = Readable.from(rows);
    source.on('error', (error) => csv.destroy(error));
    return reply
      .type('text/csv; charset=utf-8')
      .header('content-disposition', 'attachment; filename="checks.csv"')
      .send(source.pipe(csv));
  }

  @Get('requests')
  @Documented({
    summary: 'List calls, newest first, without what was asked; `decision` takes several with commas between them',
    answer: 'A page of calls; as CSV under `accept: text/csv`, with the next cursor in `x-next-cursor`',
    shape: pageOfAnswers(callAnswer),
    csv: true,
    query: listRequestsSchema,
    errors: [400],
  })
  @AsCsv('requests.csv', CALL_COLUMNS)
  requests(@Query(new ZodPipe(listRequestsSchema)) filters: ListRequests): Promise<Page<CallView>> {
    return this.calls.page(filters);
  }

  @Get('requests/:id')
  @Documented({
    summary: 'One call: its request, its checks and its bookings',
    answer: 'The call; `endpoint` names its API, such as `chat.completions`',
    errors: [404],
  })
  request(@Param('id') id: string): Promise<RequestView> {
    return this.reader.request(id);
  }

  @Post('visitors/:id/erase')
  @HttpCode(200)
  @Documented({
    summary: "Make all content of a visitor unreadable for ever; the visitor's key has to be revoked",
    answer: 'The visitor',
    body: eraseSchema,
    errors: [400, 404, 409],
  })
  async erase(
    @Param('id') id: string,
    @Body(new ZodPipe(eraseSchema)) { note }: Erase,
  ): Promise<{ data: ErasedVisitor }> {
    return { data: await this.eraser.erase(id, note ?? null) };
  }
}

async function* jsonLines(rows: AsyncIterable<CheckView>): AsyncGenerator<string> {
  for await (const row of rows) yield `${JSON.stringify(row)}\n`;
}
