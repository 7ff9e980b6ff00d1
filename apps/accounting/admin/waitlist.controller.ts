import { Body, Controller, Get, HttpCode, Post, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageOfAnswers, type Page } from '#libs/contracts/admin/answers.js';
import { invitedAnswer, waitingAnswer, type WaitingView } from '#libs/contracts/admin/claims.js';
import { Waitlist } from '../claims/waitlist.js';
import { inviteSchema, listWaitlistSchema, type Invite, type ListWaitlist } from '../schemas/claim.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('links')
@UseGuards(AdminGuard)
@Controller('admin/v1/waitlist')
export class WaitlistController {
  constructor(private readonly waitlist: Waitlist) {}

  @Get()
  @Documented({
    summary: 'List who waits for a key, newest first',
    answer: 'A page of people',
    shape: pageOfAnswers(waitingAnswer),
    query: listWaitlistSchema,
    errors: [400],
  })
  list(@Query(new ZodPipe(listWaitlistSchema)) filters: ListWaitlist): Promise<Page<WaitingView>> {
    return this.waitlist.page(filters);
  }

  @Post('invite')
  @HttpCode(200)
  @Documented({
    summary: 'Mail one-time codes to people who wait: to these, or to the `count` who wait longest',
    answer: 'How many get a mail, and how many wait still',
    shape: invitedAnswer,
    body: inviteSchema,
    errors: [400, 404, 409],
  })
  async invite(@Body(new ZodPipe(inviteSchema)) request: Invite): Promise<{ data: { invited: number; left: number } }> {
    return { data: await this.waitlist.invite(request) };
  }
}
