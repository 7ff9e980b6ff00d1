import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const ENDED = ['completed', 'incomplete', 'failed', 'cancelled'];

describe('a response in the background', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;
  let asked = 0;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey();
    openai = clientOf(key);
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key: apiKey }: TestKey): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
  const start = (more: object = {}) =>
    // Another each time: a repeat of a blocked call gets its answer again.
    openai.responses.create({ model, input: `Take your time ${++asked}`, background: true, ...more });
  const ended = async (id: string): Promise<OpenAI.Responses.Response> => {
    let response = await openai.responses.retrieve(id);
    await until('it has ended', async () => {
      response = await openai.responses.retrieve(id);
      return ENDED.includes(response.status!);
    });
    return response;
  };
  const paidOf = async ({ id }: { id: string }): Promise<[bigint, string[]] | undefined> => {
    const request = id.replace('resp_', 'req_');
    const call = (await booksAtRest(daypass)).find(({ request_id: one }) => one === request);
    return call && [call.paid, call.kinds];
  };

  it('is there at once, is polled to its end, costs what it used, and a later one may go on from it', async () => {
    daypass.rehearsal.onResponses = async () => {
      await sleep(400);
      return { content: 'done at last' };
    };
    const queued = await start({ metadata: { of: 'mine' } });
    expect(queued).toMatchObject({ status: 'queued', background: true, output: [], metadata: { of: 'mine' } });
    const seen = new Set<string>();
    await until('it is in progress', async () => {
      const { status } = await openai.responses.retrieve(queued.id);
      seen.add(status!);
      return status === 'in_progress' || status === 'completed';
    });
    expect(seen).toContain('in_progress');
    const response = await ended(queued.id);
    expect(response).toMatchObject({ id: queued.id, status: 'completed', background: true, metadata: { of: 'mine' } });
    expect(response.output_text).toBe('done at last');
    // The provider keeps nothing.
    expect(daypass.rehearsal.responsesCalls()[0]!.body).toMatchObject({ store: false });
    expect(daypass.rehearsal.responsesCalls()[0]!.body).not.toHaveProperty('background');
    const [paid] = (await paidOf(queued))!;
    const { input_tokens: input, output_tokens: output } = response.usage!;
    expect(paid).toBe(BigInt(input) * 750n + BigInt(output) * 4_500n);
    const next = await openai.responses.create({ model, input: 'go on', previous_response_id: queued.id });
    expect(next.status).toBe('completed');
    const { data } = await openai.responses.inputItems.list(queued.id);
    expect(data).toHaveLength(1);
    expect(await errorOf(clientOf(await daypass.createKey()).responses.retrieve(queued.id))).toMatchObject({
      status: 404,
    });
  });

  it('is judged as any other, before it is sent and before it can be fetched', async () => {
    const refused = await start({ input: `a ${FLAGGED_PHRASE}` });
    const help = daypass.baseUrl.replace(/\/v1$/, '/help#moderation_blocked');
    expect(await ended(refused.id)).toMatchObject({
      status: 'failed',
      error: { code: 'moderation_blocked', daypass: { direction: 'input', help } },
    });
    expect(daypass.rehearsal.responsesCalls()).toHaveLength(0);
    daypass.rehearsal.onResponses = () => ({ content: `more ${FLAGGED_PHRASE}` });
    const blocked = await ended((await start()).id);
    expect(blocked).toMatchObject({
      status: 'incomplete',
      output: [],
      incomplete_details: { reason: 'content_filter' },
    });
    expect(await paidOf(refused)).toEqual([0n, ['hold', 'void']]);
  });

  it('is cancelled while it runs, and stays so', async () => {
    daypass.rehearsal.onResponses = async () => {
      await sleep(3_000);
      return {};
    };
    const running = await start();
    await until('it runs', async () => (await openai.responses.retrieve(running.id)).status === 'in_progress');
    expect(await openai.responses.cancel(running.id)).toMatchObject({ id: running.id, status: 'cancelled' });
    await paidOf(running);
    expect((await openai.responses.retrieve(running.id)).status).toBe('cancelled');
    expect((await openai.responses.cancel(running.id)).status).toBe('cancelled');
    await openai.responses.delete(running.id);
    expect(await errorOf(openai.responses.retrieve(running.id))).toMatchObject({ status: 404 });
    expect(await errorOf(openai.responses.cancel(running.id))).toMatchObject({ status: 404 });
  });

  it('that has ended is not cancelled, nor is one that somebody waits for', async () => {
    const done = await ended((await start()).id);
    expect(await openai.responses.cancel(done.id)).toMatchObject({ status: 'completed' });
    const waited = await openai.responses.create({ model, input: 'hi' });
    expect(await errorOf(openai.responses.cancel(waited.id))).toMatchObject({ status: 400, param: 'response_id' });
    expect(await errorOf(openai.responses.cancel('resp_of_nobody'))).toMatchObject({ status: 404 });
  });

  it('says what failed, and costs nothing where the upstream did no work', async () => {
    daypass.rehearsal.onResponses = () => ({
      refuse: { status: 400, error: { message: 'The model does not like this', code: 'no_taste' } },
    });
    const failed = await start();
    const help = daypass.baseUrl.replace(/\/v1$/, '/help#provider');
    expect(await ended(failed.id)).toMatchObject({ status: 'failed', error: { code: 'no_taste', daypass: { help } } });
    expect(await paidOf(failed)).toEqual([0n, ['hold', 'void']]);
  });

  it.each([
    [{ stream: true }, 'stream'],
    [{ store: false }, 'store'],
  ])('is refused with %j', async (more, param) => {
    expect(await errorOf(start(more))).toMatchObject({ status: 400, code: 'invalid_request', param });
  });

  it('is refused where the campaign keeps nothing', async () => {
    const off = clientOf(await daypass.createKey({ campaign: { moderation: { shelf: 'off' } } }));
    expect(await errorOf(off.responses.create({ model, input: 'hi', background: true }))).toMatchObject({
      status: 400,
      param: 'background',
    });
  });
});

describe('what stands beside responses', () => {
  let daypass: SharedDaypass;
  let openai: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    const { key: apiKey } = await daypass.createKey();
    openai = new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  it('counts the tokens of an input, with what it names: nothing is sent, judged or paid', async () => {
    const words = 'a few words about the garden '.repeat(20);
    const { id } = await openai.responses.create({ model, input: words });
    daypass.rehearsal.reset();
    const of = async (body: object): Promise<number> => (await openai.responses.inputTokens.count(body)).input_tokens!;
    const [one, both] = [
      await of({ model, input: words }),
      await of({ model, input: words, previous_response_id: id }),
    ];
    expect(one).toBeGreaterThan(100);
    expect(one).toBeLessThan(200);
    expect(both).toBeGreaterThan(2 * one - 30);
    expect(await of({ model, input: 'hi' })).toBeLessThan(30);
    expect(daypass.rehearsal.responsesCalls()).toHaveLength(0);
    expect(daypass.rehearsal.moderationCalls()).toHaveLength(0);
    expect(await errorOf(of({ model: 'gpt-99', input: 'hi' }))).toMatchObject({ code: 'model_not_found' });
    expect(await errorOf(of({ model, input: 'hi', previous_response_id: 'resp_x' }))).toMatchObject({
      code: 'previous_response_not_found',
    });
    expect(await errorOf(of({ model, input: 'hi', nonsense: 1 }))).toMatchObject({ code: 'unknown_parameter' });
    await booksAtRest(daypass);
  });

  it('takes a text file as what is written in it, and judges that', async () => {
    const asking = (text: string): OpenAI.Responses.ResponseCreateParamsNonStreaming => {
      const file_data = `data:text/plain;base64,${Buffer.from(text).toString('base64')}`;
      return { model, input: [{ role: 'user', content: [{ type: 'input_file', filename: 'notes.txt', file_data }] }] };
    };
    await openai.responses.create(asking('notes about the garden'));
    const judged = JSON.stringify(daypass.rehearsal.moderationCalls().map(({ body }) => body.input));
    expect(judged).toContain('notes about the garden');
    expect(JSON.stringify(daypass.rehearsal.responsesCalls()[0]!.body)).toContain(
      Buffer.from('notes about the garden').toString('base64'),
    );
    expect(await errorOf(openai.responses.create(asking(`a ${FLAGGED_PHRASE}`)))).toMatchObject({
      code: 'moderation_blocked',
    });
    expect(daypass.rehearsal.responsesCalls()).toHaveLength(1);
  });
});
