import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer } from '#libs/endpoints/endpoint.js';
import { reactTo } from '../domain/upstream-failure.js';
import { failureOf, UpstreamClient } from './upstream.client.js';

const ticket = { model: 'm', stream: false, capTokens: 9 } as unknown as Ticket;
const message = { role: 'assistant', content: 'a', reasoning_content: 'so' };

/** What an upstream at this address is sent. */
async function sentTo(baseURL: string, upstream = 'openai'): Promise<{ url: string; body: Record<string, unknown> }> {
  let sent: { url: string; body: Record<string, unknown> } | undefined;
  const first = new OpenAI({
    apiKey: 'sk-x',
    baseURL,
    fetch: (input, init) => {
      sent = {
        url: input instanceof Request ? input.url : input.toString(),
        body: JSON.parse(init!.body as string) as Record<string, unknown>,
      };
      return Promise.resolve(new Response('{}'));
    },
  });
  const upstreams = [{ name: 'other', base_url: baseURL, keyless: true, models: { m: 'theirs' } }];
  const client = new UpstreamClient({ file: { upstreams }, upstreamKeys: {} } as unknown as DaypassConfig, first);
  const body = { json: { model: 'm', messages: [message] }, blobs: [] };
  await client.open(upstream, { ticket, body }, new AbortController().signal);
  return sent!;
}

describe('an upstream', () => {
  it('that is OpenAI gets no reasoning of an earlier answer, which it refuses', async () => {
    for (const host of ['api.openai.com', 'eu.api.openai.com']) {
      const { url, body } = await sentTo(`https://${host}/v1`);
      expect([url, body]).toEqual([
        `https://${host}/v1/chat/completions`,
        { model: 'm', messages: [{ role: 'assistant', content: 'a' }], max_completion_tokens: 9 },
      ]);
    }
  });

  it('that is compatible gets it, under the name that it has for the model', async () => {
    for (const host of ['example.org', 'api.openai.com.example.org', 'fakeopenai.com'])
      expect((await sentTo(`https://${host}/v1`, 'other')).body).toMatchObject({
        model: 'theirs',
        messages: [message],
      });
  });

  it('that nobody configured is asked nothing', async () => {
    await expect(sentTo('https://example.org/v1', 'nobody')).rejects.toThrow("no upstream is called 'nobody'");
  });
});

describe('a 200 that is no answer', () => {
  const reactionTo = (error: Record<string, unknown> | null) => reactTo(failureOf(new MisshapenAnswer('none', error)));

  it('is tried again, with the words of the upstream where it has some', () => {
    expect(reactionTo(null)).toMatchObject({ kind: 'retry', error: { code: 'upstream_error' } });
    expect(reactionTo({ message: 'overloaded', code: 'server_is_overloaded' })).toMatchObject({
      kind: 'retry',
      error: { message: 'overloaded' },
    });
  });

  it('means what its error object means elsewhere', () => {
    expect(reactionTo({ message: 'slow down', code: 'rate_limit_exceeded' })).toMatchObject({ kind: 'defer' });
    expect(reactionTo({ message: 'no', code: 'content_filter' })).toMatchObject({ kind: 'pass_on', strike: true });
    expect(reactionTo({ message: 'pay', code: 'insufficient_quota' })).toMatchObject({ kind: 'account' });
  });
});
