import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Stats } from '#libs/service/stats.js';
import { isPageView } from '../domain/page-view.js';

/** Counts how often people open the page of each link. Nobody waits for it. */
@Injectable()
export class LinkOpens {
  constructor(@Inject(Stats) private readonly stats: Stats) {}

  count(linkId: string, request: FastifyRequest): void {
    if (isPageView(request.method, request.headers)) this.stats.add(`opened:${linkId}`);
  }
}
