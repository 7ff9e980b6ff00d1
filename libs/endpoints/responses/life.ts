import { createHash } from 'node:crypto';
import { ID } from '../declaration.js';
import type { AnsweredTicket, AnswerOf } from '../endpoint.js';
import { isObject, type JsonObject } from '../json.js';
import { fitsOf } from '../leaf.js';
import { OPAQUE } from './answer.declaration.js';
import { readKept, type ResponsesKept } from './kept.js';
import { tagged } from './opaque.js';
import { ENCRYPTED } from './request.declaration.js';

/** So many characters of a hash stand for an id that visitors could not send again. */
const HASH_CHARACTERS = 24;
/** OpenAI's ids of items are longer. Some compatible upstreams count from 0 in each response. */
const UNIQUE_CHARACTERS = 20;
const isImage = fitsOf({ kind: 'image', bare: true });
const REQUEST_ID = /^req_([0-9a-f]{12})[0-9a-f]*$/;

/** The id that the relay gives a response: no upstream's id is shown. */
const responseIdOf = (requestId: string): string => `resp_${requestId.replace(/^req_/, '')}`;

/** Makes of an upstream's response what its visitor may see: their own values, the relay's id, no unreadable part that nobody asked for. */
export class Life {
  readonly id: string;
  readonly kept: ResponsesKept;
  readonly sent: JsonObject;
  /** Unreadable parts by the id of their item, marked with the upstream that made them. */
  readonly encrypted = new Map<string, string>();

  constructor(
    private readonly ticket: AnsweredTicket,
    private readonly of: AnswerOf,
  ) {
    this.id = responseIdOf(ticket.requestId);
    this.kept = readKept(of.kept);
    this.sent = isObject(of.sent) ? of.sent : {};
  }

  /** The relay decides these, or repeats what the visitor sent: an upstream's repeat may differ, and nobody judges it. */
  private get own(): JsonObject {
    const { store, metadata, previousResponseId, conversation, promptCacheKey } = this.kept;
    const { instructions = null, tools = [], tool_choice = 'auto', text } = this.sent;
    return {
      id: this.id,
      object: 'response',
      background: this.kept.background === true,
      instructions,
      metadata,
      store,
      previous_response_id: previousResponseId,
      ...(conversation === null ? {} : { conversation: { id: conversation } }),
      prompt_cache_key: promptCacheKey,
      safety_identifier: null,
      user: null,
      tools,
      tool_choice,
      text: { format: { type: 'text' }, ...(isObject(text) ? text : {}) },
    };
  }

  /** An upstream's response, as it is shown. Clients make `output_text` themselves; whom the account bills is not theirs to see. */
  response(upstream: JsonObject): JsonObject {
    const { output_text: _, billing: __, conversation: ___, output, ...rest } = upstream;
    const items = Array.isArray(output) ? this.items(output) : output;
    return { ...rest, ...this.own, ...(output === undefined ? {} : { output: items }) };
  }

  /** An upstream's items, as they are shown. */
  items(output: readonly unknown[]): unknown[] {
    return output.map((item, index) => this.item(item, index));
  }

  /** The response that stands for one of which no upstream told anything. */
  blank(): JsonObject {
    const createdMs = Number.parseInt(REQUEST_ID.exec(this.ticket.requestId)?.[1] ?? '0', 16);
    return {
      ...this.own,
      created_at: Math.floor(createdMs / 1_000),
      status: 'in_progress',
      error: null,
      incomplete_details: null,
      model: this.ticket.model,
      output: [],
      parallel_tool_calls: this.sent.parallel_tool_calls ?? true,
      temperature: this.sent.temperature ?? null,
      top_p: this.sent.top_p ?? null,
      usage: null,
    };
  }

  /** Ids of another form are replaced: a visitor could not send them again. */
  event(event: JsonObject): JsonObject {
    if (event.item !== undefined) {
      const index = typeof event.output_index === 'number' ? event.output_index : 0;
      return { ...event, item: this.item(event.item, index) };
    }
    const { item_id: id } = event;
    if (typeof id !== 'string') return event;
    const own = this.itemId(id);
    return own === id ? event : { ...event, item_id: own };
  }

  private item(item: unknown, index: number): unknown {
    if (!isObject(item)) return item;
    // Who made it is the account's. What is no image, in the place of one, nobody can judge.
    const { created_by: _, encrypted_content: encrypted, result, call_id: call, ...rest } = item;
    const isDrawn = item.type === 'image_generation_call';
    const id =
      typeof item.id === 'string' && item.id !== '' ? this.itemId(item.id) : `item_${this.id.slice(5)}_${index}`;
    return {
      ...rest,
      id,
      ...(call === undefined ? {} : { call_id: typeof call === 'string' ? idFor(call) : call }),
      ...(result === undefined ? {} : { result: isDrawn && !isImage(result) ? null : result }),
      ...this.unreadable(id, item.type, encrypted),
    };
  }

  /** A short id may come again in the next response, and a key names items of all its responses. */
  private itemId(id: string): string {
    return id.length < UNIQUE_CHARACTERS ? hashed(`${this.id}/${id}`) : idFor(id);
  }

  private unreadable(id: string, type: unknown, encrypted: unknown): JsonObject {
    if (typeof encrypted !== 'string' || !OPAQUE.test(encrypted)) return {};
    const content = tagged(encrypted, this.of.tag);
    this.encrypted.set(id, content);
    const isShown = type !== 'reasoning' || this.kept.asked.includes(ENCRYPTED);
    return isShown ? { encrypted_content: content } : {};
  }
}

const idFor = (id: string): string => (ID.test(id) ? id : hashed(id));

const hashed = (id: string): string => `id_${createHash('sha256').update(id).digest('hex').slice(0, HASH_CHARACTERS)}`;
