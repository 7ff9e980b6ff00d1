import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { addressTag, clientAddress } from '../domain/client-address.js';
import { publicUrlOf } from '../door/public.url.js';

/** Where a visitor comes from, and where the visitor came to. */
@Injectable()
export class ClaimAddress {
  constructor(@Inject(CONFIG) private readonly config: DaypassConfig) {}

  /** Stands for the visitor's address. Nobody keeps the address itself. */
  tagOf({ headers, raw }: FastifyRequest, nowMs: number): string {
    const { visitors, secrets } = this.config;
    const peer = raw.socket.remoteAddress ?? '';
    const address = clientAddress(headers['x-forwarded-for'], peer, visitors.proxyHops);
    return addressTag(address, secrets.claimPepper, nowMs);
  }

  /** Where clients send calls. */
  baseUrlOf(request: FastifyRequest | undefined): string {
    return `${publicUrlOf(request?.headers ?? {}, this.config)}/v1`;
  }
}
