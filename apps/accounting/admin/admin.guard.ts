import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { isHolder } from '../actor.js';
import { KnownHosts } from '../console/known.hosts.js';
import { assertOwnPage, assertSafeWrite } from '../console/own.page.js';
import { Sessions, type Session } from '../console/sessions.js';
import { AdminError } from '../domain/admin.error.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The console sent it, with the cookie of a session. */
    daypassSession?: boolean;
    /** That session; null: the admin token came with it. */
    daypassOperator?: Session | null;
    /** Who acts, as `x-daypass-actor` or the session says; null: nobody said. */
    daypassActor?: string | null;
  }
}

const ACTOR = /^[ -~]{1,100}$/;

/**
 * Lets in who has the admin token, or a session of the console. It compares hashes, so that neither time nor length
 * betrays how close a guess is.
 */
@Injectable()
export class AdminGuard implements CanActivate {
  private readonly expected: Buffer;
  private readonly hosts: KnownHosts;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly sessions: Sessions,
  ) {
    this.expected = digest(config.adminToken);
    this.hosts = new KnownHosts(config);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    if (request.headers.authorization === undefined) {
      request.daypassOperator = await this.sessionOf(request, http.getResponse<FastifyReply>());
      request.daypassSession = true;
      request.daypassActor = request.daypassOperator.name;
      return true;
    }
    const given = bearerOf(request);
    if (given === undefined || !this.isToken(given)) throw unauthorized();
    request.daypassSession = false;
    request.daypassActor = actorOf(request);
    return true;
  }

  isToken(given: string): boolean {
    return timingSafeEqual(digest(given), this.expected);
  }

  /** @throws AdminError where nobody is signed in, or where another page than the console's sent the request */
  async sessionOf(request: FastifyRequest, reply: FastifyReply): Promise<Session> {
    this.hosts.assert(request.headers.host);
    assertOwnPage(request);
    const session = await this.sessions.of(request, reply);
    if (session === null) throw unauthorized();
    assertSafeWrite(request);
    return session;
  }
}

export function bearerOf({ headers }: FastifyRequest): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
}

function actorOf({ headers }: FastifyRequest): string | null {
  const actor = headers['x-daypass-actor'];
  if (actor === undefined) return null;
  if (typeof actor === 'string' && ACTOR.test(actor) && !isHolder(actor)) return actor;
  throw new AdminError(
    'invalid_request',
    "x-daypass-actor: name whoever acts, in at most 100 printable ASCII characters. 'holder' is the holder of a key.",
    { param: 'x-daypass-actor' },
  );
}

function unauthorized(): AdminError {
  return new AdminError(
    'unauthorized',
    "The admin token is missing or wrong: send 'authorization: Bearer <DAYPASS_ADMIN_TOKEN>', or sign in at /console/login.",
  );
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
