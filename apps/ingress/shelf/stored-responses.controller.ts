import { Controller, Delete, Get, Param, Query, UseInterceptors } from '@nestjs/common';
import { itemNotFound, responseNotFound, shelfUnavailable } from '#libs/shelf/shelf.faults.js';
import { ShelfStore, type StoredResponse } from '#libs/shelf/shelf.store.js';
import { noQuery, pageQuery, responseQuery, type Asked } from './shelf.requests.js';
import { showList, showResponse } from './shelf.views.js';
import { VisitInterceptor } from './visit.interceptor.js';
import { OfVisit, type VisitAnswer, type Visit } from './visit.js';

/** Responses that Daypass keeps for their key. They cost nothing. */
@Controller('/v1/responses/:id')
@UseInterceptors(VisitInterceptor)
export class StoredResponsesController {
  constructor(private readonly shelf: ShelfStore) {}

  @Get()
  async read(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    const include = responseQuery(query);
    const { response, output, bytes } = await this.find(visit, id);
    return { shown: () => showResponse(response, output, include), bytes };
  }

  @Delete()
  async delete(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    noQuery(query);
    const isDeleted = await this.shelf.deleteResponse(visit.owner.keyId, id).catch(() => {
      throw shelfUnavailable();
    });
    if (!isDeleted) throw responseNotFound(id);
    return { shown: () => ({ id, object: 'response', deleted: true }) };
  }

  @Get('input_items')
  async inputItems(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    const { page, include } = pageQuery(query);
    const { input, bytes } = await this.find(visit, id);
    const ordered = page.descending ? input.toReversed() : input;
    const start = page.after === '' ? 0 : ordered.findIndex((item) => item.id === page.after) + 1;
    if (page.after !== '' && start === 0) throw itemNotFound(page.after, 'after');
    const end = start + page.limit;
    return { shown: () => showList(ordered.slice(start, end), end < ordered.length, include), bytes };
  }

  private async find(visit: Visit, id: string): Promise<StoredResponse> {
    const found = visit.isOff ? null : await this.shelf.response(visit.owner.keyId, id, visit.bounds);
    if (!found) throw responseNotFound(id);
    return found;
  }
}
