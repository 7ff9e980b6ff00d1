import { Body, Controller, Get, Param, Put, Query, Req, Res, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import {
  doorAnswer,
  funnelAnswer,
  overviewAnswer,
  settingsAnswer,
  spendAnswer,
} from '#libs/contracts/admin/console.js';
import { DoorSwitch } from '../accounts/door.switch.js';
import { CampaignFigures } from '../console/campaign.figures.js';
import { OverviewReader } from '../console/overview.js';
import { Sessions } from '../console/sessions.js';
import { SettingsReader } from '../console/settings.reader.js';
import { StreamHub } from '../console/stream.hub.js';
import {
  doorSchema,
  overviewSchema,
  spendSchema,
  streamSchema,
  type OverviewQuery,
  type SetDoor,
  type SpendQuery,
  type StreamQuery,
} from '../schemas/console.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

type Answer<T extends z.ZodType> = Promise<z.output<T>>;

@ApiTags('console')
@UseGuards(AdminGuard)
@Controller('admin/v1')
export class ConsoleController {
  constructor(
    private readonly overview: OverviewReader,
    private readonly settings: SettingsReader,
    private readonly campaigns: CampaignFigures,
    private readonly door: DoorSwitch,
    private readonly hub: StreamHub,
    private readonly sessions: Sessions,
  ) {}

  @Get('overview')
  @Documented({
    summary: 'What happens now, what was spent, and what needs an operator',
    answer: 'The overview. The series has a point for each minute, hour or day of the range',
    shape: overviewAnswer,
    query: overviewSchema,
    errors: [400],
  })
  async readOverview(@Query(new ZodPipe(overviewSchema)) { range }: OverviewQuery): Answer<typeof overviewAnswer> {
    return { data: await this.overview.read(range) };
  }

  @Get('stream')
  @Documented({
    summary: 'What happens, as server-sent events. After a reconnect, fetch what you show again',
    answer: 'A stream of events: beat (each second), campaign, key, strike, flag, claim, door, trouble, progress',
    query: streamSchema,
    errors: [400],
  })
  stream(
    @Query(new ZodPipe(streamSchema)) { topics }: StreamQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): void {
    const { daypassOperator: session = null, id: requestId } = request;
    const isAllowed = async (): Promise<boolean> => session === null || this.sessions.isInForce(session);
    this.hub.join({ response: reply.raw, requestId, topics, isAllowed });
    reply.hijack();
  }

  @Get('settings')
  @Documented({
    summary: 'The configuration in force, without secrets, and what is missing in it',
    answer: 'The settings',
    shape: settingsAnswer,
  })
  async readSettings(): Answer<typeof settingsAnswer> {
    return { data: await this.settings.read() };
  }

  @Get('campaigns/:slug/spend')
  @Documented({
    summary: "What a campaign's calls cost, by minute, hour or day in UTC. Minutes reach two hours back",
    answer: 'The points, oldest first',
    shape: spendAnswer,
    query: spendSchema,
    errors: [400, 404],
  })
  async spend(
    @Param('slug') slug: string,
    @Query(new ZodPipe(spendSchema)) query: SpendQuery,
  ): Answer<typeof spendAnswer> {
    return { data: await this.campaigns.spend(slug, query) };
  }

  @Get('campaigns/:slug/funnel')
  @Documented({
    summary: "How many people opened a campaign's links, claimed a key, called with it, and spent nine tenths of it",
    answer: 'The counts',
    shape: funnelAnswer,
    errors: [404],
  })
  async funnel(@Param('slug') slug: string): Answer<typeof funnelAnswer> {
    return { data: await this.campaigns.funnel(slug) };
  }

  @Get('door')
  @Documented({ summary: 'Whether new calls and claims come in', answer: 'The door', shape: doorAnswer })
  async readDoor(): Answer<typeof doorAnswer> {
    return { data: await this.door.read() };
  }

  @Put('door')
  @Documented({
    summary: 'Let no new call and no claim in, or let them in again. Running calls end in either state',
    answer: 'The door, as it is in force now',
    shape: doorAnswer,
    body: doorSchema,
    errors: [400],
  })
  async setDoor(@Body(new ZodPipe(doorSchema)) { state, note }: SetDoor): Answer<typeof doorAnswer> {
    return { data: await this.door.set(state, note) };
  }
}
