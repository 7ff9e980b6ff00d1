import { Controller, Get, Header, HttpCode, Options, Param, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ClaimAnswer, LinkView } from '#libs/contracts/claims.js';
import { unknownLink } from '../domain/claim-link.js';
import { foreignOriginOf } from '../domain/claim-origin.js';
import { keepFromPages, preflightHeaders, shareWithPage } from '../door/cors.js';
import { routeAccess } from '../door/route-guard.js';
import { ClaimService } from './claim.service.js';
import { EmailGate } from './email.gate.js';
import { LinkViews } from './link.views.js';

/** An operator may take an origin off a link: browsers ask again after so long. */
const PREFLIGHT_SECONDS = 60;

/**
 * Claim links, for pages and programs without a key. Pages of the link's origins may use them. A page of another origin
 * reads why it may not, and nothing else.
 */
@Controller('/claim/v1/links/:token')
export class ClaimController {
  constructor(
    private readonly views: LinkViews,
    private readonly claims: ClaimService,
    private readonly emails: EmailGate,
  ) {}

  @Get()
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async show(
    @Param('token') token: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ data: LinkView }> {
    const data = await this.views.view(token, { request, as: 'claimant' });
    if (data === null) throw unknownLink();
    shareWithPage(reply, foreignOriginOf(request.headers));
    return { data };
  }

  @Post('claims')
  @HttpCode(201)
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async claim(
    @Param('token') token: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ data: ClaimAnswer }> {
    const data = await this.claims.claim(token, { request, reply });
    shareWithPage(reply, foreignOriginOf(request.headers));
    return { data };
  }

  @Post('replace')
  @HttpCode(201)
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async replace(
    @Param('token') token: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ data: ClaimAnswer }> {
    return { data: await this.claims.replace(token, { request, reply }) };
  }

  @Post('email')
  @HttpCode(202)
  @RouteConfig(routeAccess('keyless'))
  async email(@Param('token') token: string, @Req() request: FastifyRequest): Promise<{ data: { minutes: number } }> {
    return { data: await this.emails.send(token, request) };
  }

  @Post('waitlist')
  @HttpCode(202)
  @RouteConfig(routeAccess('keyless'))
  async wait(@Param('token') token: string, @Req() request: FastifyRequest): Promise<{ data: object }> {
    return { data: await this.emails.wait(token, request) };
  }

  @Options()
  @HttpCode(204)
  @RouteConfig(routeAccess('keyless'))
  preflight(
    @Param('token') token: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    return this.answerPreflight(token, request, reply);
  }

  @Options('claims')
  @HttpCode(204)
  @RouteConfig(routeAccess('keyless'))
  preflightOfClaim(
    @Param('token') token: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    return this.answerPreflight(token, request, reply);
  }

  /** A refusal has no CORS headers, so that the browser sends nothing. */
  private async answerPreflight(token: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    keepFromPages(reply);
    await this.views.refuseForeign(token, request);
    shareWithPage(reply, foreignOriginOf(request.headers));
    void reply.headers(preflightHeaders(request, PREFLIGHT_SECONDS));
  }
}
