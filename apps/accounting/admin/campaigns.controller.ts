import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CampaignRevoker, type RevokedKeys } from '../accounts/campaign.revoker.js';
import { CampaignService } from '../accounts/campaign.service.js';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { AdminGuard } from './admin.guard.js';
import { campaignAnswer, pageOfAnswers } from '#libs/contracts/admin/answers.js';
import { revokedKeysAnswer } from '#libs/contracts/admin/safety.js';
import {
  changeCampaignSchema,
  createCampaignSchema,
  fundCampaignSchema,
  revokeKeysSchema,
  type ChangeCampaign,
  type CreateCampaign,
  type FundCampaign,
  type RevokeKeys,
} from '../schemas/campaign.schemas.js';
import { listSchema, type List } from '../schemas/list.schemas.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('campaigns')
@UseGuards(AdminGuard)
@Controller('admin/v1/campaigns')
export class CampaignsController {
  constructor(
    private readonly campaigns: CampaignService,
    private readonly revoker: CampaignRevoker,
  ) {}

  @Post()
  @Documented({
    summary: 'Create a campaign and fund it',
    status: 201,
    answer: 'The campaign',
    shape: campaignAnswer,
    body: createCampaignSchema,
    errors: [400, 409],
  })
  create(@Body(new ZodPipe(createCampaignSchema)) request: CreateCampaign): Promise<CampaignView> {
    return this.campaigns.create(request);
  }

  @Get()
  @Documented({
    summary: 'List campaigns, newest first',
    answer: 'A page of campaigns',
    shape: pageOfAnswers(campaignAnswer),
    query: listSchema,
    errors: [400],
  })
  list(@Query(new ZodPipe(listSchema)) page: List): Promise<Page<CampaignView>> {
    return this.campaigns.list(page);
  }

  @Get(':slug')
  @Documented({ summary: 'Read a campaign', answer: 'The campaign', shape: campaignAnswer, errors: [404] })
  read(@Param('slug') slug: string): Promise<CampaignView> {
    return this.campaigns.read(slug);
  }

  @Patch(':slug')
  @Documented({
    summary: 'Change a campaign',
    answer: 'The campaign',
    shape: campaignAnswer,
    body: changeCampaignSchema,
    errors: [400, 404, 409],
  })
  change(
    @Param('slug') slug: string,
    @Body(new ZodPipe(changeCampaignSchema)) request: ChangeCampaign,
  ): Promise<CampaignView> {
    return this.campaigns.change(slug, request);
  }

  @Post(':slug/fund')
  @HttpCode(200)
  @Documented({
    summary: "Add to a campaign's budget",
    answer: 'The campaign',
    shape: campaignAnswer,
    body: fundCampaignSchema,
    errors: [400, 404],
  })
  fund(
    @Param('slug') slug: string,
    @Body(new ZodPipe(fundCampaignSchema)) request: FundCampaign,
  ): Promise<CampaignView> {
    return this.campaigns.fund(slug, request.amount_usd);
  }

  @Post(':slug/revoke-keys')
  @HttpCode(200)
  @Documented({
    summary: 'Revoke all keys of a campaign for ever, however many; `dry_run` only counts',
    answer: 'How many keys, and what goes back to the campaign, as booked; running calls may still spend some of it',
    shape: revokedKeysAnswer,
    body: revokeKeysSchema,
    errors: [400, 404],
  })
  async revokeKeys(
    @Param('slug') slug: string,
    @Body(new ZodPipe(revokeKeysSchema)) request: RevokeKeys,
  ): Promise<{ data: RevokedKeys }> {
    return { data: await this.revoker.revoke(slug, request) };
  }
}
