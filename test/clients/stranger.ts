import assert from 'node:assert/strict';
import type { TestKey } from '#libs/testing/daypass.js';
import type { Exchange } from './wire.ts';

/** Ids that an answer of the API, or one of its conversations, may show. */
const ID = /\b(?:resp|conv|rs|msg|fc|ctc|cmp)_\w{8,}/g;

interface Answered {
  status: number;
  code: string | null | undefined;
}

/**
 * Asks for each id that a client was shown. Another key of the same campaign finds none of them. The client's own key
 * finds an answer, unless the client wanted none kept.
 * @throws with the first id that was answered otherwise
 */
export async function lookForIds(
  baseUrl: string,
  own: TestKey,
  stranger: TestKey,
  exchanges: readonly Exchange[],
): Promise<void> {
  const ids = [...new Set(exchanges.flatMap(({ answer }) => answer.match(ID) ?? []))];
  assert.ok(ids.length > 0, 'the client was shown no id');
  const askedToKeep = exchanges.some(({ path, body }) => path === '/v1/responses' && body && storeIn(body) !== false);
  const strange = new Asking(baseUrl, stranger);
  for (const id of ids)
    for (const [what, answered] of await strange.everyWay(id)) {
      const wanted: Answered =
        what === 'previous_response_id'
          ? { status: 400, code: 'previous_response_not_found' }
          : { status: 404, code: 'not_found' };
      assert.deepEqual({ id, what, ...answered }, { id, what, ...wanted });
    }
  const familiar = new Asking(baseUrl, own);
  const found = await Promise.all(
    ids.filter((id) => id.startsWith('resp_')).map((id) => familiar.ask('GET', `responses/${id}`)),
  );
  const count = found.filter(({ status }) => status === 200).length;
  assert.equal(count > 0, askedToKeep, `its own key finds ${count} of ${found.length} answers`);
}

class Asking {
  private readonly baseUrl: string;
  private readonly key: string;

  constructor(baseUrl: string, { key }: TestKey) {
    this.baseUrl = baseUrl;
    this.key = key;
  }

  /** Every way in which a request can name the id, and what was answered. */
  async everyWay(id: string): Promise<readonly (readonly [string, Answered])[]> {
    const create = (more: object): Promise<Answered> =>
      this.ask('POST', 'responses', { model: 'gpt-5.4-mini', input: 'Hello', ...more });
    if (id.startsWith('resp_'))
      return Promise.all([
        named('previous_response_id', create({ previous_response_id: id })),
        named('GET', this.ask('GET', `responses/${id}`)),
        named('GET input_items', this.ask('GET', `responses/${id}/input_items`)),
        named('DELETE', this.ask('DELETE', `responses/${id}`)),
      ]);
    if (id.startsWith('conv_'))
      return Promise.all([
        named('conversation', create({ conversation: id })),
        named('GET', this.ask('GET', `conversations/${id}`)),
        named('GET items', this.ask('GET', `conversations/${id}/items`)),
        named('DELETE', this.ask('DELETE', `conversations/${id}`)),
      ]);
    return [await named('item_reference', create({ input: [{ type: 'item_reference', id }] }))];
  }

  async ask(method: string, path: string, body?: object): Promise<Answered> {
    const answer = await fetch(`${this.baseUrl}/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const { error } = (await answer.json()) as { error?: { code: string | null } };
    return { status: answer.status, code: error?.code };
  }
}

async function named(what: string, answered: Promise<Answered>): Promise<readonly [string, Answered]> {
  return [what, await answered];
}

function storeIn(body: object): unknown {
  return (body as { store?: unknown }).store;
}
