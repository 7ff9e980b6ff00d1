import { Body, Controller, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageOfAnswers, strikeAnswer, type Page, type StrikeView } from '#libs/contracts/admin/answers.js';
import { erasedAnswer, visitorActAnswer, visitorAnswer, type VisitorView } from '#libs/contracts/admin/safety.js';
import { VisitorActs, type ChangedVisitor } from '../accounts/visitor.acts.js';
import { VisitorList } from '../accounts/visitor.list.js';
import { VisitorEraser, type ErasedVisitor } from '../record/visitor.eraser.js';
import { eraseSchema, type Erase } from '../schemas/audit.schemas.js';
import { noteSchema, type Note } from '../schemas/key.schemas.js';
import { listSchema, listVisitorsSchema, type List, type ListVisitors } from '../schemas/list.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('visitors')
@UseGuards(AdminGuard)
@Controller('admin/v1/visitors')
export class VisitorsController {
  constructor(
    private readonly visitors: VisitorList,
    private readonly acts: VisitorActs,
    private readonly eraser: VisitorEraser,
  ) {}

  @Get()
  @Documented({
    summary:
      'List visitors: claimants, and keys that nobody claimed; by flagged and blocked checks, by their share, or by spend',
    answer: 'A page of visitors',
    shape: pageOfAnswers(visitorAnswer),
    query: listVisitorsSchema,
    errors: [400],
  })
  list(@Query(new ZodPipe(listVisitorsSchema)) page: ListVisitors): Promise<Page<VisitorView>> {
    return this.visitors.page(page);
  }

  @Get(':id')
  @Documented({
    summary: 'One visitor; its keys: `GET /keys?claimant=`, its calls: `GET /requests?visitor=`',
    answer: 'The visitor',
    shape: visitorAnswer,
    errors: [404],
  })
  read(@Param('id') id: string): Promise<VisitorView> {
    return this.visitors.read(id);
  }

  @Get(':id/strikes')
  @Documented({
    summary: 'The refused inputs of all keys of a visitor and what followed, newest first',
    answer: 'A page of strikes',
    shape: pageOfAnswers(strikeAnswer),
    query: listSchema,
    errors: [400, 404],
  })
  strikes(@Param('id') id: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<StrikeView>> {
    return this.visitors.strikes(id, page);
  }

  @Post(':id/suspend')
  @HttpCode(200)
  @Documented({
    summary: 'Suspend all keys of a visitor; a claimant claims no more',
    answer: 'How many keys changed',
    shape: visitorActAnswer,
    body: noteSchema,
    errors: [400, 404],
  })
  async suspend(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<Changed> {
    return { data: await this.acts.setStatus(id, 'suspend', note ?? null) };
  }

  @Post(':id/reinstate')
  @HttpCode(200)
  @Documented({
    summary:
      'Reinstate all suspended keys of a visitor and forget its strikes; it may claim again, unless it is blocked',
    answer: 'How many keys changed',
    shape: visitorActAnswer,
    body: noteSchema,
    errors: [400, 404],
  })
  async reinstate(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<Changed> {
    return { data: await this.acts.setStatus(id, 'reinstate', note ?? null) };
  }

  @Post(':id/revoke')
  @HttpCode(200)
  @Documented({
    summary: 'Revoke all keys of a visitor for ever',
    answer: 'How many keys changed',
    shape: visitorActAnswer,
    body: noteSchema,
    errors: [400, 404],
  })
  async revoke(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<Changed> {
    return { data: await this.acts.setStatus(id, 'revoke', note ?? null) };
  }

  @Post(':id/block')
  @HttpCode(200)
  @Documented({
    summary: 'Let a claimant claim no more; its keys stay as they are',
    answer: 'The visitor',
    shape: visitorActAnswer,
    body: noteSchema,
    errors: [400, 404, 409],
  })
  async block(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<Changed> {
    return { data: await this.acts.block(id, note ?? null) };
  }

  @Post(':id/unblock')
  @HttpCode(200)
  @Documented({
    summary: 'Let a claimant claim again',
    answer: 'The visitor',
    shape: visitorActAnswer,
    body: noteSchema,
    errors: [400, 404, 409],
  })
  async unblock(@Param('id') id: string, @Body(new ZodPipe(noteSchema)) { note }: Note): Promise<Changed> {
    return { data: await this.acts.unblock(id, note ?? null) };
  }

  @Post(':id/erase')
  @HttpCode(200)
  @Documented({
    summary: 'Make all content of a visitor unreadable for ever; all of its keys have to be revoked',
    answer: 'The visitor',
    shape: erasedAnswer,
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

type Changed = { data: ChangedVisitor };
