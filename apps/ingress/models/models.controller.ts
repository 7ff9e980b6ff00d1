import { Controller, Get, Param, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { DaypassError } from '#libs/contracts/errors.js';
import { Authenticator } from '../door/authenticator.service.js';

interface ModelObject {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
}

@Controller('/v1/models')
export class ModelsController {
  constructor(private readonly authenticator: Authenticator) {}

  @Get()
  async list(@Req() request: FastifyRequest): Promise<{ object: 'list'; data: ModelObject[] }> {
    const { models } = await this.authenticator.visitor(request.headers.authorization);
    return { object: 'list', data: models.map(describe) };
  }

  @Get(':model')
  async get(@Req() request: FastifyRequest, @Param('model') model: string): Promise<ModelObject> {
    const { models } = await this.authenticator.visitor(request.headers.authorization);
    if (!models.includes(model))
      throw new DaypassError(
        'model_not_found',
        `The model '${model}' does not exist or this key has no access to it.`,
        { param: 'model' },
      );
    return describe(model);
  }
}

/** Daypass does not know when a model was created. */
function describe(id: string): ModelObject {
  return { id, object: 'model', created: 0, owned_by: 'daypass' };
}
