import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageOfAnswers, type Page } from '#libs/contracts/admin/answers.js';
import { claimAnswer, type ClaimView } from '#libs/contracts/admin/claims.js';
import { ClaimList } from '../claims/claim.list.js';
import { listClaimsSchema, type ListClaims } from '../schemas/claim.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

@ApiTags('links')
@UseGuards(AdminGuard)
@Controller('admin/v1/claims')
export class ClaimsController {
  constructor(private readonly claims: ClaimList) {}

  @Get()
  @Documented({
    summary: 'List claims, newest first',
    answer: 'A page of claims',
    shape: pageOfAnswers(claimAnswer),
    query: listClaimsSchema,
    errors: [400],
  })
  list(@Query(new ZodPipe(listClaimsSchema)) filters: ListClaims): Promise<Page<ClaimView>> {
    return this.claims.page(filters);
  }
}
