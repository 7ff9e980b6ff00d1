import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { KeyView, NewKeyView } from '#libs/contracts/admin/answers.js';
import type { StrikeView } from '#libs/contracts/admin/answers.js';
import type { TransferView } from '#libs/contracts/admin/answers.js';
import type { BulkOutcome } from '#libs/contracts/admin/answers.js';
import { KeyBulk } from '../accounts/key.bulk.js';
import { KeyReader } from '../accounts/key.reader.js';
import { KeyService } from '../accounts/key.service.js';
import { AdminGuard } from './admin.guard.js';
import { AsCsv } from './csv.interceptor.js';
import {
  bulkSchema,
  changeKeySchema,
  createBatchSchema,
  createKeySchema,
  noteSchema,
  type Bulk,
  type ChangeKey,
  type CreateBatch,
  type CreateKey,
  type Note,
} from '../schemas/key.schemas.js';
import {
  bulkAnswer,
  keyAnswer,
  newKeyAnswer,
  newKeysAnswer,
  pageOfAnswers,
  strikeAnswer,
  transferAnswer,
} from '#libs/contracts/admin/answers.js';
import { listKeysSchema, listSchema, type List, type ListKeys } from '../schemas/list.schemas.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

/** Of a key's row in CSV, after its id and, once, the virtual key itself. */
const KEY_COLUMNS = [
  'prefix',
  'label',
  'campaign',
  'status',
  'starts_at',
  'expires_at',
  'ttl_from_first_use_seconds',
  'budget_usd',
  'spent_usd',
  'held_usd',
  'available_usd',
  'last_call_at',
  'claimant',
  'link',
  'strikes',
  'created_at',
] satisfies (keyof KeyView)[];

@ApiTags('keys')
@UseGuards(AdminGuard)
@Controller('admin/v1/keys')
export class KeysController {
  constructor(
    private readonly keys: KeyService,
    private readonly bulk: KeyBulk,
    private readonly reader: KeyReader,
  ) {}

  @Post()
  @Documented({
    summary: 'Create a key',
    status: 201,
    answer: 'The key, with the virtual key itself this one time',
    shape: newKeyAnswer,
    body: createKeySchema,
    errors: [400, 404, 409],
  })
  async create(@Body(new ZodPipe(createKeySchema)) request: CreateKey): Promise<NewKeyView> {
    return (await this.keys.create(request, [request.label]))[0]!;
  }

  @Post('batch')
  @Documented({
    summary: 'Create up to 1,000 keys, all or none: one for each of `labels`, or `count` equal ones',
    status: 201,
    answer: 'The keys; as CSV under `accept: text/csv`',
    shape: newKeysAnswer,
    csv: true,
    body: createBatchSchema,
    errors: [400, 404, 409],
  })
  @AsCsv('keys.csv', ['id', 'key', ...KEY_COLUMNS])
  async createBatch(
    @Body(new ZodPipe(createBatchSchema)) { label = '', labels, count = 0, ...request }: CreateBatch,
  ): Promise<{ data: NewKeyView[] }> {
    return { data: await this.keys.create(request, labels ?? Array<string>(count).fill(label)) };
  }

  @Post('bulk')
  @HttpCode(200)
  @Documented({
    summary:
      'Suspend, reinstate, revoke, extend or fund up to 1,000 keys, all or none; `dry_run` only counts. `extend` takes `ttl_seconds`, `fund` takes `amount_usd`',
    answer: 'How many keys matched and changed, how many remain for another request, and which could not be changed',
    shape: bulkAnswer,
    body: bulkSchema,
    errors: [400],
  })
  async changeMany(@Body(new ZodPipe(bulkSchema)) request: Bulk): Promise<{ data: BulkOutcome }> {
    return { data: await this.bulk.run(request) };
  }

  @Get()
  @Documented({
    summary: 'List keys, newest first, or by what they spent or when they last called',
    answer: 'A page of keys; as CSV under `accept: text/csv`, with the next cursor in `x-next-cursor`',
    shape: pageOfAnswers(keyAnswer),
    csv: true,
    query: listKeysSchema,
    errors: [400],
  })
  @AsCsv('keys.csv', ['id', ...KEY_COLUMNS])
  list(@Query(new ZodPipe(listKeysSchema)) filters: ListKeys): Promise<Page<KeyView>> {
    return this.reader.list(filters);
  }

  @Get(':id')
  @Documented({ summary: 'Read a key', answer: 'The key', shape: keyAnswer, errors: [404] })
  read(@Param('id') id: string): Promise<KeyView> {
    return this.reader.read(id);
  }

  @Patch(':id')
  @Documented({
    summary: 'Change a key',
    answer: 'The key',
    shape: keyAnswer,
    body: changeKeySchema,
    errors: [400, 404, 409],
  })
  change(@Param('id') id: string, @Body(new ZodPipe(changeKeySchema)) request: ChangeKey): Promise<KeyView> {
    return this.keys.change(id, request);
  }

  @Post(':id/suspend')
  @HttpCode(200)
  @Documented({
    summary: 'Suspend a key until somebody reinstates it',
    answer: 'The key',
    shape: keyAnswer,
    body: noteSchema,
    errors: [400, 404, 409],
  })
  suspend(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'suspended', note ?? null);
  }

  @Post(':id/reinstate')
  @HttpCode(200)
  @Documented({
    summary: 'Reinstate a suspended key',
    answer: 'The key',
    shape: keyAnswer,
    body: noteSchema,
    errors: [400, 404, 409],
  })
  reinstate(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'active', note ?? null);
  }

  @Post(':id/revoke')
  @HttpCode(200)
  @Documented({
    summary: 'Revoke a key for ever',
    answer: 'The key',
    shape: keyAnswer,
    body: noteSchema,
    errors: [400, 404],
  })
  revoke(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'revoked', note ?? null);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Documented({
    summary: 'Replace the virtual key; the old one is dead at once',
    answer: 'The key, with the new virtual key this one time',
    shape: newKeyAnswer,
    body: noteSchema,
    errors: [400, 404, 409],
  })
  rotate(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<NewKeyView> {
    return this.keys.rotate(id, note ?? null);
  }

  @Get(':id/transfers')
  @Documented({
    summary: "List a key's bookings, newest first",
    answer: 'A page of transfers',
    shape: pageOfAnswers(transferAnswer),
    query: listSchema,
    errors: [400, 404],
  })
  transfers(@Param('id') id: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<TransferView>> {
    return this.reader.transfers(id, page);
  }

  @Get(':id/strikes')
  @Documented({
    summary: "List a key's refused inputs and what followed, newest first",
    answer: 'A page of strikes',
    shape: pageOfAnswers(strikeAnswer),
    query: listSchema,
    errors: [400, 404],
  })
  strikes(@Param('id') id: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<StrikeView>> {
    return this.reader.strikes(id, page);
  }
}
