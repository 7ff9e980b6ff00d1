import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Page } from '../domain/cursor.js';
import type { KeyView, NewKeyView } from '../domain/key.view.js';
import type { StrikeView } from '../domain/strike.js';
import type { TransferView } from '../domain/transfer.view.js';
import { KeyReader } from '../accounts/key.reader.js';
import { KeyService } from '../accounts/key.service.js';
import { AdminGuard } from './admin.guard.js';
import {
  changeKeySchema,
  createBatchSchema,
  createKeySchema,
  noFieldsSchema,
  noteSchema,
  type ChangeKey,
  type CreateBatch,
  type CreateKey,
  type Note,
} from '../schemas/key.schemas.js';
import { listKeysSchema, listSchema, type List, type ListKeys } from '../schemas/list.schemas.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('keys')
@UseGuards(AdminGuard)
@Controller('admin/v1/keys')
export class KeysController {
  constructor(
    private readonly keys: KeyService,
    private readonly reader: KeyReader,
  ) {}

  @Post()
  @Documented({
    summary: 'Create a key',
    status: 201,
    answer: 'The key, with the virtual key itself this one time',
    body: createKeySchema,
    errors: [400, 404, 409],
  })
  async create(@Body(new ZodPipe(createKeySchema)) request: CreateKey): Promise<NewKeyView> {
    return (await this.keys.create(request, 1))[0]!;
  }

  @Post('batch')
  @Documented({
    summary: 'Create up to 1,000 equal keys, all or none',
    status: 201,
    answer: 'The keys',
    body: createBatchSchema,
    errors: [400, 404, 409],
  })
  async createBatch(
    @Body(new ZodPipe(createBatchSchema)) { count, ...request }: CreateBatch,
  ): Promise<{ data: NewKeyView[] }> {
    return { data: await this.keys.create(request, count) };
  }

  @Get()
  @Documented({ summary: 'List keys, newest first', answer: 'A page of keys', query: listKeysSchema, errors: [400] })
  list(@Query(new ZodPipe(listKeysSchema)) filters: ListKeys): Promise<Page<KeyView>> {
    return this.reader.list(filters);
  }

  @Get(':id')
  @Documented({ summary: 'Read a key', answer: 'The key', errors: [404] })
  read(@Param('id') id: string): Promise<KeyView> {
    return this.reader.read(id);
  }

  @Patch(':id')
  @Documented({ summary: 'Change a key', answer: 'The key', body: changeKeySchema, errors: [400, 404, 409] })
  change(@Param('id') id: string, @Body(new ZodPipe(changeKeySchema)) request: ChangeKey): Promise<KeyView> {
    return this.keys.change(id, request);
  }

  @Post(':id/suspend')
  @HttpCode(200)
  @Documented({
    summary: 'Suspend a key until somebody reinstates it',
    answer: 'The key',
    body: noteSchema,
    errors: [400, 404, 409],
  })
  suspend(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'suspended', note ?? null);
  }

  @Post(':id/reinstate')
  @HttpCode(200)
  @Documented({ summary: 'Reinstate a suspended key', answer: 'The key', body: noteSchema, errors: [400, 404, 409] })
  reinstate(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'active', note ?? null);
  }

  @Post(':id/revoke')
  @HttpCode(200)
  @Documented({ summary: 'Revoke a key for ever', answer: 'The key', body: noteSchema, errors: [400, 404] })
  revoke(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<KeyView> {
    return this.keys.setStatus(id, 'revoked', note ?? null);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Documented({
    summary: 'Replace the virtual key; the old one is dead at once',
    answer: 'The key, with the new virtual key this one time',
    body: noFieldsSchema,
    errors: [400, 404, 409],
  })
  rotate(@Param('id') id: string, @Body(new ZodPipe(noFieldsSchema)) _: object): Promise<NewKeyView> {
    return this.keys.rotate(id);
  }

  @Get(':id/transfers')
  @Documented({
    summary: "List a key's bookings, newest first",
    answer: 'A page of transfers',
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
    query: listSchema,
    errors: [400, 404],
  })
  strikes(@Param('id') id: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<StrikeView>> {
    return this.reader.strikes(id, page);
  }
}
