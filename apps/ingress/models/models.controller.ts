import { Controller, Get, Param } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Visitor } from '../door/authenticator.service.js';
import { routeAccess } from '../door/route-guard.js';
import { OfVisitor } from '../door/visitor.js';
import { ModelOffer, type OfferedModel } from '../model.offer.js';

interface ModelObject {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
}

@Controller('/v1/models')
export class ModelsController {
  constructor(private readonly offer: ModelOffer) {}

  @Get()
  @RouteConfig(routeAccess('reader'))
  list(@OfVisitor() visitor: Visitor): { object: 'list'; data: ModelObject[] } {
    return { object: 'list', data: this.offer.to(visitor).map(describe) };
  }

  @Get(':model')
  @RouteConfig(routeAccess('reader'))
  get(@OfVisitor() visitor: Visitor, @Param('model') model: string): ModelObject {
    const offered = this.offer.to(visitor).find(({ id }) => id === model);
    if (!offered)
      throw new DaypassError(
        'model_not_found',
        `The model '${model}' does not exist or this key has no access to it.`,
        { param: 'model' },
      );
    return describe(offered);
  }
}

/** Daypass does not know when a model was created. */
function describe({ id }: OfferedModel): ModelObject {
  return { id, object: 'model', created: 0, owned_by: 'daypass' };
}
