import { Body, Controller, Delete, Get, HttpCode, Inject, Post, Req, Res, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import { sessionAnswer, signInLinkAnswer } from '#libs/contracts/admin/console.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { KnownHosts } from '../console/known.hosts.js';
import { assertOwnPage } from '../console/own.page.js';
import { endOf, isBehindTls, Sessions } from '../console/sessions.js';
import { SignInBrake } from '../console/sign-in.brake.js';
import { SignInLinks } from '../console/sign-in.links.js';
import { AdminError } from '../domain/admin.error.js';
import { emptySchema, signInSchema, type SignIn } from '../schemas/console.schemas.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';
import { ZodPipe } from './zod.pipe.js';

/** Whoever signs in by a link and says no name. */
const NAMELESS = 'operator';

@ApiTags('session')
@Controller('admin/v1')
export class SessionController {
  private readonly brake = new SignInBrake();
  private readonly hosts: KnownHosts;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly guard: AdminGuard,
    private readonly sessions: Sessions,
    private readonly links: SignInLinks,
  ) {
    this.hosts = new KnownHosts(config);
  }

  @Post('session')
  @HttpCode(204)
  @Documented({
    summary: 'Sign in to the console, with the admin token or the code of a sign-in link',
    status: 204,
    answer: 'The cookie of the session: twelve hours without a request, and seven days at most',
    body: signInSchema,
    unkept: true,
    access: 'anybody',
    errors: [400, 403, 421, 429],
  })
  async signIn(
    @Body(new ZodPipe(signInSchema)) { token, code, name = NAMELESS }: SignIn,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    this.hosts.assert(request.headers.host);
    assertOwnPage(request);
    if (token !== undefined) this.check(token, request.ip);
    // Nobody guesses a code of 192 bits. So the brake does not hold it back.
    else if (!(await this.links.redeem(code!))) throw usedCode();
    await this.sessions.open(name, request, reply);
  }

  @Get('session')
  @Documented({
    summary: 'Whose session it is, and when it ends without a further request',
    answer: 'The session',
    shape: sessionAnswer,
    access: 'session',
    errors: [403, 421],
  })
  async read(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof sessionAnswer>> {
    const session = await this.guard.sessionOf(request, reply);
    return { data: { name: session.name, expires_at: endOf(session).toISOString() } };
  }

  @Delete('session')
  @HttpCode(204)
  @Documented({
    summary: 'Sign out of the console',
    status: 204,
    answer: 'The session has ended',
    unkept: true,
    access: 'session',
    errors: [403, 415, 421],
  })
  async signOut(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.sessions.end(await this.guard.sessionOf(request, reply), reply);
  }

  @Delete('sessions')
  @HttpCode(204)
  @UseGuards(AdminGuard)
  @Documented({
    summary: 'Sign everybody out of the console',
    status: 204,
    answer: 'All sessions have ended',
    unkept: true,
    errors: [403, 415, 421],
  })
  async signAllOut(@Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.sessions.endAll(reply);
  }

  @Post('session/links')
  @UseGuards(AdminGuard)
  @Documented({
    summary: 'Make a link that signs in to the console once, within five minutes. Needs the admin token',
    status: 201,
    answer: 'The link',
    shape: signInLinkAnswer,
    body: emptySchema,
    unkept: true,
    errors: [400, 403],
  })
  async link(
    @Body(new ZodPipe(emptySchema)) _nothing: object,
    @Req() request: FastifyRequest,
  ): Promise<z.output<typeof signInLinkAnswer>> {
    if (request.daypassSession)
      throw new AdminError(
        'unauthorized',
        "A session makes no sign-in links: send 'authorization: Bearer <DAYPASS_ADMIN_TOKEN>'.",
      );
    return { data: await this.links.make(this.originFor(request)) };
  }

  /** @throws AdminError where the token is wrong, or too many were */
  private check(token: string, address: string): void {
    const waitMs = this.brake.waitMs(address);
    if (waitMs > 0) throw tooMany(waitMs);
    if (this.guard.isToken(token)) return;
    this.brake.wrong(address);
    throw wrongToken();
  }

  /** As the caller reaches the console, where that is a name of the console; otherwise on this machine. */
  private originFor(request: FastifyRequest): string {
    const { host } = request.headers;
    if (this.hosts.has(host)) return `${isBehindTls(request) ? 'https' : 'http'}://${host}`;
    return `http://localhost:${this.config.admin.port}`;
  }
}

function tooMany(waitMs: number): AdminError {
  const seconds = Math.ceil(waitMs / 1_000);
  return new AdminError(
    'too_many_attempts',
    `Too many wrong tokens came from this address. Try again in ${seconds} s, or sign in by a link (POST /admin/v1/session/links).`,
    { retryAfterSeconds: seconds },
  );
}

function wrongToken(): AdminError {
  return new AdminError('unauthorized', 'This is not the admin token. `npm start` keeps it in .daypass/admin-token.');
}

function usedCode(): AdminError {
  return new AdminError(
    'unauthorized',
    'This sign-in link was used, or is older than five minutes. Make a new one, or sign in with the admin token.',
  );
}
