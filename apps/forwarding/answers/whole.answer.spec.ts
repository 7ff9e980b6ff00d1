/** @modules own */
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { AnswerOf } from '#libs/endpoints/endpoint.js';
import type { Shelved } from '#libs/endpoints/shelved.js';
import { Progress } from './answer.progress.js';
import { AnswerRelay } from './answer.relay.js';
import { serveNumbered } from './numbered.fixture.js';
import type { OutputGate, OutputVerdict } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';

beforeAll(serveNumbered);

interface Options {
  output?: string;
  verdict?: OutputVerdict['word'];
  shelf?: 'stored' | 'full';
  of?: AnswerOf;
}

const error = new DaypassError('moderation_unavailable', 'no verdict');

async function whole({ output = 'gate', verdict = 'pass', shelf = 'stored', of = { tag: '' } }: Options) {
  const shelved: Shelved[] = [];
  const put = (_: object, record: Shelved) => Promise.resolve((shelved.push(record), shelf));
  const gate = { verdictOnWhole: () => Promise.resolve({ verdict: { word: verdict, error }, events: [] }) };
  const config = { limits: { beatMs: 15_000 } } as unknown as DaypassConfig;
  const relay = new AnswerRelay(config, {} as ReplyChannel, gate as unknown as OutputGate, { put });
  const ticket = {
    keyId: 'k',
    endpoint: 'numbered',
    facts: {},
    policy: { output },
    inputVerdict: 'pass',
    heldNano: '1000',
    feeNano: '0',
    tierPercent: 100,
    price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
  } as unknown as Ticket;
  const body = [Buffer.from(JSON.stringify({ t: 'Hello', usage: { input: 3, output: 2 } }))];
  const response = { headers: new Headers(), body } as unknown as Response;
  const answered = await relay.whole(
    { ticket, queueMs: 0, of, progress: new Progress(), controller: new AbortController(), onAnswer: () => undefined },
    response,
  );
  return { ...answered, shelved };
}

describe('a whole answer that its key may name later', () => {
  it.each(['gate', 'observe', 'off'])('is on the shelf before it goes out (%s)', async (output) => {
    const { reply, shelved, again } = await whole({ output });
    expect(reply).toMatchObject({ status: 200, body: '{"t":"Hello","store":true}' });
    expect(shelved).toMatchObject([{ response: { shown: ['Hello'] } }]);
    expect(again).toBeUndefined();
  });

  it('says that it is not stored where the shelf is full', async () => {
    const { reply } = await whole({ shelf: 'full' });
    expect(reply).toMatchObject({ status: 200, body: '{"t":"Hello","store":false}' });
  });

  it('is on the shelf only as it was shown where it was blocked, and a repeat costs nothing', async () => {
    const { reply, shelved, again } = await whole({ verdict: 'blocked' });
    expect(reply).toMatchObject({ body: '{"t":"blocked","store":true}', meta: { costNano: '5' } });
    expect(shelved).toMatchObject([{ response: { shown: ['blocked'] } }]);
    expect(again).toMatchObject({
      body: '{"t":"blocked","store":true}',
      meta: { costNano: '0', moderation: { input: 'pass', output: 'blocked' } },
    });
  });

  it('is not on the shelf without a verdict, or where the visitor does not want it', async () => {
    expect((await whole({ verdict: 'unavailable' })).shelved).toEqual([]);
    expect((await whole({ of: { tag: '', kept: { store: false } } })).shelved).toEqual([]);
  });
});
