import { Controller, Get, Inject } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { Visitor } from '../door/authenticator.service.js';
import { routeAccess } from '../door/route-guard.js';
import { OfVisitor } from '../door/visitor.js';
import { ModelOffer } from '../model.offer.js';
import { showHeldKey } from './held-key.view.js';

@Controller('/v1/key')
export class KeyController {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly offer: ModelOffer,
  ) {}

  /** What visitors see of their own key, also of one that has ended. */
  @Get()
  @RouteConfig(routeAccess('holder'))
  show(@OfVisitor() visitor: Visitor): unknown {
    return { data: showHeldKey(visitor, this.offer.to(visitor), this.config.limits) };
  }
}
