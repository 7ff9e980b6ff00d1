import { Controller, Get, Header, HttpCode, Param, Post, Req } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import type { ClaimAnswer, LinkView } from '#libs/contracts/claims.js';
import { unknownLink } from '../domain/claim-link.js';
import { routeAccess } from '../door/route-guard.js';
import { ClaimService } from './claim.service.js';
import { LinkViews } from './link.views.js';

/** Claim links, for pages and programs without a key. */
@Controller('/claim/v1/links/:token')
export class ClaimController {
  constructor(
    private readonly views: LinkViews,
    private readonly claims: ClaimService,
  ) {}

  @Get()
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async show(@Param('token') token: string, @Req() request: FastifyRequest): Promise<{ data: LinkView }> {
    const data = await this.views.view(token, { request, as: 'claimant' });
    if (data === null) throw unknownLink();
    return { data };
  }

  @Post('claims')
  @HttpCode(201)
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async claim(@Param('token') token: string, @Req() request: FastifyRequest): Promise<{ data: ClaimAnswer }> {
    return { data: await this.claims.claim(token, request) };
  }
}
