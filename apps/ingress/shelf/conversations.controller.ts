import { Controller, Delete, Get, HttpCode, Param, Post, Query, UseInterceptors } from '@nestjs/common';
import { DaypassError } from '#libs/contracts/errors.js';
import { ConversationStore } from '#libs/shelf/conversation.store.js';
import { conversationNotFound } from '#libs/shelf/shelf.faults.js';
import {
  addedItems,
  changedConversation,
  includeQuery,
  newConversation,
  noQuery,
  pageQuery,
  type Asked,
} from './shelf.requests.js';
import { showConversation, showItem, showList } from './shelf.views.js';
import { VisitInterceptor } from './visit.interceptor.js';
import { OfVisit, stepOn, type VisitAnswer, type Visit } from './visit.js';

/** Conversations that Daypass keeps for their key. They cost nothing, and nobody judges them before a call uses them. */
@Controller('/v1/conversations')
@UseInterceptors(VisitInterceptor)
export class ConversationsController {
  constructor(private readonly conversations: ConversationStore) {}

  @Post()
  @HttpCode(200)
  async create(@OfVisit() visit: Visit, @Query() query: Asked): Promise<VisitAnswer> {
    noQuery(query);
    if (visit.isOff) throw keepsNothing();
    const { metadata, items } = await stepOn(visit, () => newConversation(visit.body));
    const made = await stepOn(visit, () => this.conversations.create(visit.owner, metadata, items));
    return { shown: () => showConversation(made) };
  }

  @Get(':id')
  async read(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    refuseOff(visit, id);
    noQuery(query);
    return this.shown(visit, id);
  }

  @Post(':id')
  @HttpCode(200)
  async update(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    refuseOff(visit, id);
    noQuery(query);
    const { metadata } = changedConversation(visit.body);
    const former = await this.conversations.read(visit.owner.keyId, id, visit.bounds);
    const changed = { id, createdAt: former.createdAt, metadata };
    await this.conversations.update(visit.owner, changed);
    return { shown: () => showConversation(changed) };
  }

  @Delete(':id')
  async delete(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    refuseOff(visit, id);
    noQuery(query);
    await this.conversations.delete(visit.owner.keyId, id);
    return { shown: () => ({ id, object: 'conversation.deleted', deleted: true }) };
  }

  @Get(':id/items')
  async items(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    refuseOff(visit, id);
    const { page, include } = pageQuery(query);
    const { items, hasMore, bytes } = await this.conversations.page(visit.owner.keyId, id, page, visit.bounds);
    return { shown: () => showList(items, hasMore, include), bytes };
  }

  @Post(':id/items')
  @HttpCode(200)
  async add(@OfVisit() visit: Visit, @Param('id') id: string, @Query() query: Asked): Promise<VisitAnswer> {
    refuseOff(visit, id);
    const include = includeQuery(query);
    const items = await stepOn(visit, () => addedItems(visit.body));
    const added = await stepOn(visit, () => this.conversations.addItems(visit.owner, id, items));
    return { shown: () => showList(added, false, include), bytes: visit.bodyBytes };
  }

  @Get(':id/items/:itemId')
  async item(
    @OfVisit() visit: Visit,
    @Param('id') id: string,
    @Param('itemId') itemId: string,
    @Query() query: Asked,
  ): Promise<VisitAnswer> {
    refuseOff(visit, id);
    const include = includeQuery(query);
    const { item, bytes } = await this.conversations.item(visit.owner.keyId, id, itemId, visit.bounds);
    return { shown: () => showItem(item, include), bytes };
  }

  /** As OpenAI does, it answers with the conversation. */
  @Delete(':id/items/:itemId')
  async deleteItem(
    @OfVisit() visit: Visit,
    @Param('id') id: string,
    @Param('itemId') itemId: string,
    @Query() query: Asked,
  ): Promise<VisitAnswer> {
    refuseOff(visit, id);
    noQuery(query);
    const answer = await this.shown(visit, id);
    await this.conversations.deleteItem(visit.owner.keyId, id, itemId);
    return answer;
  }

  private async shown(visit: Visit, id: string): Promise<VisitAnswer> {
    const found = await this.conversations.read(visit.owner.keyId, id, visit.bounds);
    return { shown: () => showConversation(found) };
  }
}

/** Where nothing is kept, no conversation is there. */
function refuseOff({ isOff }: Visit, id: string): void {
  if (isOff) throw conversationNotFound(id, 'conversation_id');
}

function keepsNothing(): DaypassError {
  return new DaypassError(
    'not_found',
    'The campaign of this key keeps no conversations. Send the whole conversation with each request.',
  );
}
