import { Controller, Get, HttpCode, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { mayClaimFrom } from '../domain/claim-origin.js';
import { routeAccess } from '../door/route-guard.js';
import { originNotAllowed } from './claim.refusals.js';
import { GithubSignIn } from './github.sign-in.js';
import { IdentityCookies } from './identity.cookies.js';

/** Where browsers sign in for claim links, and out. None of it makes a key. */
@Controller('/claim/v1')
export class SignInController {
  constructor(
    private readonly github: GithubSignIn,
    private readonly cookies: IdentityCookies,
  ) {}

  @Get('github/start')
  @RouteConfig(routeAccess('keyless'))
  async start(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    redirect(reply, await this.github.start(request, reply));
  }

  @Get('github/callback')
  @RouteConfig(routeAccess('keyless'))
  async callback(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    redirect(reply, await this.github.comeBack(request, reply));
  }

  @Post('sign-out')
  @HttpCode(200)
  @RouteConfig(routeAccess('keyless'))
  signOut(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): { data: object } {
    if (!mayClaimFrom(request.headers, [])) throw originNotAllowed(request.headers.origin);
    this.cookies.signOut(request, reply);
    return { data: {} };
  }
}

function redirect(reply: FastifyReply, location: string): void {
  // GitHub must not learn the link from the address that the visitor comes from.
  void reply.status(302).headers({ location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }).send();
}
