import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { pageOfAnswers, type Page } from '#libs/contracts/admin/answers.js';
import {
  codeAnswer,
  linkAnswer,
  linkTestAnswer,
  newCodesAnswer,
  voidedAnswer,
  type CodeView,
  type LinkView,
} from '#libs/contracts/admin/claims.js';
import { CodeService, type NewCodes } from '../claims/code.service.js';
import { LinkService } from '../claims/link.service.js';
import { LinkTester, type LinkTest } from '../claims/link.tester.js';
import {
  changeLinkSchema,
  createCodesSchema,
  createLinkSchema,
  testLinkSchema,
  voidCodesSchema,
  type ChangeLink,
  type CreateCodes,
  type CreateLink,
  type VoidCodes,
} from '../schemas/claim.schemas.js';
import { listSchema, type List } from '../schemas/list.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { AsCsv } from './csv.interceptor.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('links')
@UseGuards(AdminGuard)
@Controller('admin/v1')
export class LinksController {
  constructor(
    private readonly links: LinkService,
    private readonly codes: CodeService,
    private readonly tester: LinkTester,
  ) {}

  @Post('campaigns/:slug/links')
  @Documented({
    summary: 'Create a claim link. What `key` does not name, it has from the key_defaults of the campaign',
    status: 201,
    answer: 'The link',
    shape: linkAnswer,
    body: createLinkSchema,
    errors: [400, 404, 409],
  })
  create(@Param('slug') slug: string, @Body(new ZodPipe(createLinkSchema)) request: CreateLink): Promise<LinkView> {
    return this.links.create(slug, request);
  }

  @Get('campaigns/:slug/links')
  @Documented({
    summary: 'List the claim links of a campaign, newest first',
    answer: 'A page of links',
    shape: pageOfAnswers(linkAnswer),
    query: listSchema,
    errors: [400, 404],
  })
  list(@Param('slug') slug: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<LinkView>> {
    return this.links.list(slug, page);
  }

  @Get('links/:id')
  @Documented({ summary: 'Read a claim link', answer: 'The link', shape: linkAnswer, errors: [404] })
  read(@Param('id') id: string): Promise<LinkView> {
    return this.links.read(id);
  }

  @Patch('links/:id')
  @Documented({
    summary: 'Change a claim link. What the request does not name stays',
    answer: 'The link',
    shape: linkAnswer,
    body: changeLinkSchema,
    errors: [400, 404, 409],
  })
  change(@Param('id') id: string, @Body(new ZodPipe(changeLinkSchema)) request: ChangeLink): Promise<LinkView> {
    return this.links.change(id, request);
  }

  @Delete('links/:id')
  @Documented({
    summary: 'Close a claim link. Its keys stay, and its page says that it has ended',
    answer: 'The link, closed',
    shape: linkAnswer,
    errors: [404],
    writes: true,
  })
  close(@Param('id') id: string): Promise<LinkView> {
    return this.links.close(id);
  }

  @Post('links/:id/test')
  @HttpCode(200)
  @Documented({
    summary: 'Try a claim of $0 and undo it',
    answer: 'Each step, and whether it would work',
    shape: linkTestAnswer,
    body: testLinkSchema,
    errors: [400, 404],
  })
  async test(
    @Param('id') id: string,
    @Body(new ZodPipe(testLinkSchema)) _request: z.output<typeof testLinkSchema>,
  ): Promise<{ data: LinkTest }> {
    return { data: await this.tester.test(id) };
  }

  @Post('links/:id/codes')
  @Documented({
    summary: 'Make up to 1,000 one-time codes: one for each of `labels`, or `count` for anybody',
    status: 201,
    answer: 'The codes, this one time; as CSV under `accept: text/csv`',
    shape: newCodesAnswer,
    csv: true,
    body: createCodesSchema,
    errors: [400, 404, 409],
  })
  @AsCsv('codes.csv', ['id', 'label', 'code', 'url', 'expires_at'])
  createCodes(@Param('id') id: string, @Body(new ZodPipe(createCodesSchema)) request: CreateCodes): Promise<NewCodes> {
    return this.codes.create(id, request);
  }

  @Get('links/:id/codes')
  @Documented({
    summary: 'List the codes of a link, newest first, without the codes themselves',
    answer: 'A page of codes',
    shape: pageOfAnswers(codeAnswer),
    query: listSchema,
    errors: [400, 404],
  })
  listCodes(@Param('id') id: string, @Query(new ZodPipe(listSchema)) page: List): Promise<Page<CodeView>> {
    return this.codes.list(id, page);
  }

  @Post('codes/void')
  @HttpCode(200)
  @Documented({
    summary: 'Void codes that nobody used: these, or all of a link',
    answer: 'How many',
    shape: voidedAnswer,
    body: voidCodesSchema,
    errors: [400, 404],
  })
  async voidCodes(@Body(new ZodPipe(voidCodesSchema)) request: VoidCodes): Promise<{ data: { voided: number } }> {
    return { data: { voided: await this.codes.void(request) } };
  }
}
