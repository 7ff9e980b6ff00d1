import { Controller, Delete, Get, HttpCode, Param, Post, Query, UseInterceptors } from '@nestjs/common';
import { DaypassError } from '#libs/contracts/errors.js';
import { isObject } from '#libs/endpoints/json.js';
import { refuseUnknown } from '#libs/endpoints/refusals.js';
import { BackgroundStore, type BackgroundCall } from '#libs/shelf/background.store.js';
import { itemNotFound, responseNotFound, shelfUnavailable } from '#libs/shelf/shelf.faults.js';
import { ShelfStore, type StoredResponse } from '#libs/shelf/shelf.store.js';
import { BackgroundCalls } from '../calls/background.calls.js';
import { noQuery, pageQuery, responseQuery, type Asked, type Include } from './shelf.requests.js';
import { showList, showResponse } from './shelf.views.js';
import { VisitInterceptor } from './visit.interceptor.js';
import { OfVisit, type VisitAnswer, type Visit } from './visit.js';

const unavailable = (): never => {
  throw shelfUnavailable();
};

/** Responses that Daypass keeps for their key. They cost nothing. */
@Controller('/v1/responses/:id')
@UseInterceptors(VisitInterceptor)
export class StoredResponsesController {
  constructor(
    private readonly shelf: ShelfStore,
    private readonly background: BackgroundStore,
    private readonly calls: BackgroundCalls,
  ) {}

  @Get()
  async read(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    const include = responseQuery(query);
    return this.shown(visit, id, include);
  }

  /** Of a response in the background. One that has ended stays as it is. */
  @Post('cancel')
  @HttpCode(200)
  async cancel(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    noQuery(query);
    if (isObject(visit.body)) for (const name of Object.keys(visit.body)) refuseUnknown(name);
    const found = await this.findBackground(visit, id);
    if (!found) {
      await this.find(visit, id);
      throw new DaypassError(
        'invalid_request',
        'Only a response that runs in the background can be cancelled. Close the connection of any other.',
        { param: 'response_id' },
      );
    }
    await this.calls.cancel(found);
    return this.shown(visit, id, { encrypted: false });
  }

  @Delete()
  async delete(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    noQuery(query);
    const isDeleted = await this.shelf.deleteResponse(visit.owner.keyId, id).catch(() => {
      throw shelfUnavailable();
    });
    const found = await this.findBackground(visit, id);
    if (!isDeleted && !found) throw responseNotFound(id);
    if (found && !isDeleted) await this.calls.cancel(found);
    if (found) await this.background.forget(visit.owner.keyId, id).catch(unavailable);
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

  private async shown(visit: Visit, id: string, include: Include): Promise<VisitAnswer> {
    const look = () => (visit.isOff ? null : this.shelf.response(visit.owner.keyId, id, visit.bounds));
    const found = await look();
    if (found) return { shown: () => showResponse(found.response, found.output, include), bytes: found.bytes };
    const background = await this.findBackground(visit, id);
    if (!background) throw responseNotFound(id);
    const waiting = await this.background.shown(background, visit.origin).catch(unavailable);
    // Its answer may have come meanwhile.
    const late = waiting.status === 'failed' ? await look() : null;
    if (late) return { shown: () => showResponse(late.response, late.output, include), bytes: late.bytes };
    return { shown: () => waiting };
  }

  private async findBackground({ owner }: Visit, id: string): Promise<BackgroundCall | null> {
    return this.background.find(owner.keyId, id).catch(unavailable);
  }

  private async find(visit: Visit, id: string): Promise<StoredResponse> {
    const found = visit.isOff ? null : await this.shelf.response(visit.owner.keyId, id, visit.bounds);
    if (!found) throw responseNotFound(id);
    return found;
  }
}
