import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { AdminError } from '../domain/admin.error.js';

/**
 * Lets in who has the admin token. It compares hashes, so that neither time nor length betrays how close a guess is.
 */
@Injectable()
export class AdminGuard implements CanActivate {
  private readonly expected: Buffer;

  constructor(@Inject(CONFIG) config: DaypassConfig) {
    this.expected = digest(config.adminToken);
  }

  canActivate(context: ExecutionContext): boolean {
    const { authorization } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(digest(given), this.expected)) {
      throw new AdminError(
        'unauthorized',
        "The admin token is missing or wrong: send 'authorization: Bearer <DAYPASS_ADMIN_TOKEN>'.",
      );
    }
    return true;
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
