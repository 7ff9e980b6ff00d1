import { Controller, Get, Header, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { heldCallsSchema, type HeldCalls } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { RecentRefusals } from '#libs/holds/recent-refusals.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { DeskClient } from '../desk/desk.client.js';
import type { Visitor } from '../door/authenticator.service.js';
import { routeAccess } from '../door/route-guard.js';
import { OfVisitor } from '../door/visitor.js';
import { ModelOffer } from '../model.offer.js';
import { recovering } from '../refusals.js';
import { callsPageOf } from './calls.page.js';
import { showHeldKey } from './held-key.view.js';

/** What visitors see of their own key, and what they may do with it. */
@Controller('/v1/key')
export class KeyController {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly offer: ModelOffer,
    private readonly refusals: RecentRefusals,
    private readonly desk: DeskClient,
  ) {}

  /** Also of a key that has ended. */
  @Get()
  @RouteConfig(routeAccess('holder'))
  async show(@OfVisitor() visitor: Visitor): Promise<unknown> {
    const refusals = await this.refusals.of(visitor.key.id).catch(() => {
      throw recovering();
    });
    return { data: showHeldKey(visitor, this.offer.to(visitor), this.config.limits, refusals) };
  }

  @Get('calls')
  @RouteConfig(routeAccess('holder'))
  async calls(@OfVisitor() { key }: Visitor, @Query() query: Record<string, unknown>): Promise<HeldCalls> {
    const page = callsPageOf(query);
    return heldCallsSchema.parse(await this.desk.askFor(key.id, { kind: 'key.calls', key: key.id, ...page }));
  }

  /** The former key opens nothing any more. Its budget, its limits and its calls stay. */
  @Post('rotate')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  @RouteConfig(routeAccess('reader'))
  async rotate(@OfVisitor() { key, tokenHash: former }: Visitor): Promise<unknown> {
    const made = createVirtualKey();
    const prefix = visiblePrefix(made);
    const tokenHash = hashVirtualKey(made, this.config.secrets.tokenPepper);
    try {
      const asked = { key: key.id, token_hash: tokenHash, prefix, former_hash: former };
      await this.desk.askFor(key.id, { kind: 'key.rotate', ...asked });
    } catch (error) {
      throw error instanceof DaypassError && error.code === 'recovering' ? perhapsRotated(error, made) : error;
    }
    return { data: { id: key.id, key: made, prefix } };
  }

  @Post('revoke')
  @HttpCode(200)
  @RouteConfig(routeAccess('reader'))
  async revoke(@OfVisitor() { key }: Visitor): Promise<unknown> {
    return { data: await this.desk.askFor(key.id, { kind: 'key.revoke', key: key.id }) };
  }

  /** What the visitor asked and got becomes unreadable, also for the operator. */
  @Post('erase')
  @HttpCode(200)
  @RouteConfig(routeAccess('holder'))
  async erase(@OfVisitor() { key }: Visitor): Promise<unknown> {
    return { data: await this.desk.askFor(key.id, { kind: 'key.erase', key: key.id }) };
  }
}

/** Accounting may still rotate the key. Without the new secret nobody could use it then. */
function perhapsRotated({ retryAfterMs }: DaypassError, key: string): DaypassError {
  return new DaypassError(
    'recovering',
    'Nobody knows yet whether your key was replaced. Keep the new key in this answer: it works from then on. Until then the former key works.',
    { retryAfterMs, retry: false, details: { key } },
  );
}
