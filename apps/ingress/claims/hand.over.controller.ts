import { Controller, Header, HttpCode, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { HandOverAnswer, TokenAnswer } from '#libs/contracts/claims.js';
import type { Visitor } from '../door/authenticator.service.js';
import { shareWithPage } from '../door/cors.js';
import { routeAccess } from '../door/route-guard.js';
import { OfVisitor } from '../door/visitor.js';
import { HandOvers } from './hand.over.service.js';

/** How a key reaches an app: its holder asks for a one-time code, and the app exchanges it. */
@Controller()
export class HandOverController {
  constructor(private readonly handOvers: HandOvers) {}

  @Post('/v1/key/hand-over')
  @HttpCode(200)
  @RouteConfig({ ...routeAccess('reader'), hasSmallBody: true })
  @Header('cache-control', 'no-store')
  async begin(@OfVisitor() visitor: Visitor, @Req() request: FastifyRequest): Promise<{ data: HandOverAnswer }> {
    return { data: await this.handOvers.begin(visitor, request) };
  }

  @Post('/claim/v1/token')
  @HttpCode(200)
  @RouteConfig(routeAccess('keyless'))
  @Header('cache-control', 'no-store')
  async end(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<TokenAnswer> {
    const { answer, origin } = await this.handOvers.end(request);
    shareWithPage(reply, origin);
    return answer;
  }
}
