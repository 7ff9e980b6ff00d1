import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallList } from '../record/call.list.js';
import { AuditReader } from '../record/audit.reader.js';
import { AuditVerifier } from '../record/audit.verifier.js';
import { ActList } from '../record/act.list.js';
import { OpenedCalls } from '../record/opened.calls.js';
import { POLICY_COLUMNS, PolicyList } from '../record/policy.list.js';
import { ReviewQueue } from '../record/review.queue.js';
import { ThresholdReplay } from '../record/threshold.replay.js';
import { recordProofAnswer, replayAnswer, type RecordProof, type Replay } from '#libs/contracts/admin/audit.js';
import type { CallView } from '#libs/contracts/admin/answers.js';
import type { CheckView } from '#libs/contracts/admin/answers.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { AdminGuard } from './admin.guard.js';
import { callAnswer, checkAnswer, pageOfAnswers } from '#libs/contracts/admin/answers.js';
import {
  aroundAnswer,
  actAnswer,
  checkCountAnswer,
  requestAnswer,
  reviewedAnswer,
  type ActView,
  type AroundView,
  type CheckCount,
  type RequestView,
} from '#libs/contracts/admin/safety.js';
import {
  aroundSchema,
  countChecksSchema,
  exportActsSchema,
  exportChecksSchema,
  exportPoliciesSchema,
  exportRequestsSchema,
  listActsSchema,
  listChecksSchema,
  listRequestsSchema,
  openSchema,
  replaySchema,
  type AskReplay,
  type CheckFilters,
  type ExportActs,
  type ExportChecks,
  type ExportPolicies,
  type ExportRequests,
  type FilterRequests,
  type ListActs,
  type ListChecks,
  type ListRequests,
  type Open,
} from '../schemas/audit.schemas.js';
import { noteSchema, type Note } from '../schemas/key.schemas.js';
import { AsCsv } from './csv.interceptor.js';
import { Downloads } from './downloads.js';
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
  'checks',
  'reviewed',
];

const ACT_COLUMNS: (keyof ActView)[] = ['at', 'id', 'act', 'subject', 'actor', 'note'];

@ApiTags('audit')
@UseGuards(AdminGuard)
@Controller('admin/v1')
export class AuditController {
  constructor(
    private readonly reader: AuditReader,
    private readonly calls: CallList,
    private readonly verifier: AuditVerifier,
    private readonly opened: OpenedCalls,
    private readonly reviews: ReviewQueue,
    private readonly acts: ActList,
    private readonly policies: PolicyList,
    private readonly replays: ThresholdReplay,
    private readonly downloads: Downloads,
  ) {}

  @Get('audit/verify')
  @Documented({
    summary: 'Prove the record: nobody edited, deleted, moved or cut off a row, and each content fits its row',
    answer: 'What was checked, what is wrong and where, and the last link of the chain',
    shape: recordProofAnswer,
  })
  verify(): Promise<RecordProof> {
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

  @Get('checks/count')
  @Documented({
    summary: 'Count the checks that the filters let through, up to 10,000',
    answer: 'How many there are, and whether there are more',
    shape: checkCountAnswer,
    query: countChecksSchema,
    errors: [400],
  })
  async count(@Query(new ZodPipe(countChecksSchema)) filters: CheckFilters): Promise<{ data: CheckCount }> {
    return { data: await this.reader.count(filters) };
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
    return this.downloads.send(reply, {
      name: 'checks',
      columns: CSV_COLUMNS,
      format,
      rows: this.reader.export(filters),
    });
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

  @Get('requests/export')
  @Documented({
    summary: 'All calls that the filters let through, newest first, as JSON Lines or CSV, without what was asked',
    answer: 'A line for each call',
    query: exportRequestsSchema,
    errors: [400],
  })
  exportRequests(
    @Query(new ZodPipe(exportRequestsSchema)) { format, ...filters }: ExportRequests,
    @Res() reply: FastifyReply,
  ): FastifyReply {
    return this.downloads.send(reply, {
      name: 'calls',
      columns: CALL_COLUMNS,
      format,
      rows: this.calls.export(filters),
    });
  }

  @Get('requests/:id')
  @Documented({
    summary: 'One call: its request, its checks and its bookings; texts only for whoever has the admin token',
    answer: 'The call; `endpoint` names its API, such as `chat.completions`. `texts` says whether there are any',
    shape: requestAnswer,
    errors: [404],
  })
  request(@Param('id') id: string, @Req() request: FastifyRequest): Promise<RequestView> {
    // In the console to read a prompt is an act of its own.
    return this.reader.request(id, { show: request.daypassSession !== true });
  }

  @Get('requests/:id/around')
  @Documented({
    summary: 'The calls beside one, within a filter of `GET /requests`',
    answer: 'The next newer and the next older call',
    shape: aroundAnswer,
    query: aroundSchema,
    errors: [400, 404],
  })
  async around(
    @Param('id') id: string,
    @Query(new ZodPipe(aroundSchema)) filters: FilterRequests,
  ): Promise<{ data: AroundView }> {
    return { data: await this.calls.around(id, filters) };
  }

  @Post('requests/:id/open')
  @HttpCode(200)
  @Documented({
    unkept: true,
    summary: 'One call with its texts; the record keeps who read them and why, once an hour',
    answer: 'The call with its texts, where there are any',
    shape: requestAnswer,
    body: openSchema,
    errors: [400, 404],
  })
  open(@Param('id') id: string, @Body(new ZodPipe(openSchema)) { reason }: Open): Promise<RequestView> {
    return this.opened.open(id, reason ?? null);
  }

  @Post('requests/:id/review')
  @HttpCode(200)
  @Documented({
    summary: 'Mark a flagged call as seen: it leaves the queue of the review, and nothing else follows',
    answer: 'The call',
    shape: reviewedAnswer,
    body: noteSchema,
    errors: [400, 404],
  })
  async review(
    @Param('id') id: string,
    @Body(new ZodPipe(noteSchema)) { note }: Note,
  ): Promise<{ data: { id: string; reviewed: true } }> {
    await this.reviews.mark(id, note ?? null);
    return { data: { id, reviewed: true } };
  }

  @Get('acts')
  @Documented({
    summary: 'What people, the provider and Daypass itself did, newest first',
    answer: 'A page of acts; as CSV under `accept: text/csv`, with the next cursor in `x-next-cursor`',
    shape: pageOfAnswers(actAnswer),
    csv: true,
    query: listActsSchema,
    errors: [400],
  })
  @AsCsv('acts.csv', ACT_COLUMNS)
  actsPage(@Query(new ZodPipe(listActsSchema)) filters: ListActs): Promise<Page<ActView>> {
    return this.acts.page(filters);
  }

  @Get('acts/export')
  @Documented({
    summary: 'All acts that the filters let through, newest first, as JSON Lines or CSV',
    answer: 'A line for each act',
    query: exportActsSchema,
    errors: [400],
  })
  exportActs(
    @Query(new ZodPipe(exportActsSchema)) { format, ...filters }: ExportActs,
    @Res() reply: FastifyReply,
  ): FastifyReply {
    return this.downloads.send(reply, { name: 'acts', columns: ACT_COLUMNS, format, rows: this.acts.export(filters) });
  }

  @Get('policies/export')
  @Documented({
    summary: 'The policies that judged calls before a time, the oldest first, as JSON Lines or CSV',
    answer: 'A line for each policy',
    query: exportPoliciesSchema,
    errors: [400],
  })
  exportPolicies(
    @Query(new ZodPipe(exportPoliciesSchema)) { format, until }: ExportPolicies,
    @Res() reply: FastifyReply,
  ): FastifyReply {
    return this.downloads.send(reply, {
      name: 'policies',
      columns: POLICY_COLUMNS,
      format,
      rows: this.policies.before(until),
    });
  }

  @Post('moderation/replay')
  @HttpCode(200)
  @Documented({
    unkept: true,
    summary: 'What other thresholds would have made of the verdicts on record; nobody is asked, and nothing changes',
    answer: 'How many checks they would have blocked, and examples',
    shape: replayAnswer,
    body: replaySchema,
    errors: [400, 404],
  })
  async replay(@Body(new ZodPipe(replaySchema)) question: AskReplay): Promise<{ data: Replay }> {
    return { data: await this.replays.run(question) };
  }
}
