import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { parseChatRequest, wishOf } from './chat-request.js';

const messages = [{ role: 'user', content: 'Hello' }];
const valid = { model: 'gpt-5.4-mini', messages };

function refusal(body: unknown): { code: string; param: string | undefined } {
  try {
    parseChatRequest(body);
  } catch (error) {
    if (error instanceof DaypassError) return { code: error.code, param: error.param };
    throw error;
  }
  throw new Error('was not refused');
}

describe('a chat request', () => {
  it('passes every parameter that visitors use, untouched', () => {
    const body = {
      ...valid,
      stream: true,
      stream_options: { include_usage: true },
      n: 2,
      max_completion_tokens: 100,
      temperature: 0.3,
      top_p: 0.9,
      logprobs: true,
      top_logprobs: 3,
      stop: ['\n'],
      seed: 7,
      tools: [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }],
      tool_choice: 'auto',
      parallel_tool_calls: false,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } },
      reasoning_effort: 'low',
      verbosity: 'low',
      user: 'someone',
      metadata: { a: 'b' },
      logit_bias: { '50256': -100 },
      service_tier: 'flex',
    };
    const request = parseChatRequest(body);
    expect(request.body).toEqual(body);
    expect(request).toMatchObject({
      stream: true,
      includeUsage: true,
      choices: 2,
      capTokens: 100,
      serviceTier: 'flex',
      images: 0,
    });
  });

  it('keeps the fields that are for Daypass from the upstream', () => {
    const request = parseChatRequest({ ...valid, moderateInput: true, moderateOutput: true });
    expect(request.body).toEqual(valid);
    expect(request.wish).toEqual({ input: true, output: true });
  });

  it('counts images, and knows the ones that ask for their original size', () => {
    const image = (detail?: string) => ({
      type: 'image_url',
      image_url: { url: 'data:image/png;base64,AAAA', ...(detail ? { detail } : {}) },
    });
    expect(
      parseChatRequest({ ...valid, messages: [{ role: 'user', content: [image(), image('original')] }] }),
    ).toMatchObject({
      images: 2,
      originalImages: true,
    });
  });

  it.each([
    ['no object', [], undefined],
    ['no model', { messages }, 'model'],
    ['no messages', { model: 'm' }, 'messages'],
    ['empty messages', { model: 'm', messages: [] }, 'messages'],
    ['a message that is text', { model: 'm', messages: ['hi'] }, 'messages[0]'],
    ['an unknown role', { model: 'm', messages: [{ role: 'god', content: '' }] }, 'messages[0].role'],
    ['content that is a number', { model: 'm', messages: [{ role: 'user', content: 3 }] }, 'messages[0].content'],
    ['a part that is text', { model: 'm', messages: [{ role: 'user', content: ['x'] }] }, 'messages[0].content[0]'],
    [
      'an image by a file URL',
      {
        model: 'm',
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }],
      },
      'messages[0].content[0].image_url.url',
    ],
    ['n of 0', { ...valid, n: 0 }, 'n'],
    ['n of 1,000', { ...valid, n: 1000 }, 'n'],
    ['n of 1.5', { ...valid, n: 1.5 }, 'n'],
    ['negative max_tokens', { ...valid, max_tokens: -1 }, 'max_tokens'],
    ['max_tokens in words', { ...valid, max_tokens: '10' }, 'max_tokens'],
    [
      'a field that no message has',
      { ...valid, messages: [{ role: 'user', content: 'hi', image_url: { url: 'https://x' } }] },
      'messages[0].image_url',
    ],
    [
      'a type on a message',
      { ...valid, messages: [{ role: 'user', content: 'hi', type: 'image_url', image_url: { url: 'https://x' } }] },
      'messages[0].type',
    ],
    [
      'a text beside an image',
      {
        ...valid,
        messages: [{ role: 'user', content: [{ type: 'image_url', text: 'hidden', image_url: { url: 'https://x' } }] }],
      },
      'messages[0].content[0].text',
    ],
    [
      '101 images',
      {
        ...valid,
        messages: [{ role: 'user', content: Array(101).fill({ type: 'image_url', image_url: { url: 'https://x' } }) }],
      },
      'messages',
    ],
    [
      '3,000 parts',
      { ...valid, messages: [{ role: 'user', content: Array(3_000).fill({ type: 'text', text: 'x' }) }] },
      'messages[0].content',
    ],
    ['modalities in words', { ...valid, modalities: 'audio' }, 'modalities'],
    [
      'endless nesting',
      { ...valid, logit_bias: JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`) as unknown },
      undefined,
    ],
    ['two caps', { ...valid, max_tokens: 1, max_completion_tokens: 1 }, 'max_tokens'],
    ['search options in words', { ...valid, web_search_options: 'yes' }, 'web_search_options'],
    ['stream in words', { ...valid, stream: 'yes' }, 'stream'],
    ['stream_options without stream', { ...valid, stream_options: { include_usage: true } }, 'stream_options'],
    ['moderation in words', { ...valid, moderation: 'yes' }, 'moderation'],
    ['moderateInput in words', { ...valid, moderateInput: 'yes' }, 'moderateInput'],
  ])('is refused as invalid with %s, naming the parameter', (_, body, param) => {
    expect(refusal(body)).toEqual({ code: 'invalid_request', param });
  });

  it.each([
    ['an unknown parameter', { ...valid, best_of: 5 }, 'best_of'],
    ['a search option that nobody knows', { ...valid, web_search_options: { pages: 99 } }, 'web_search_options.pages'],
    ['audio output', { ...valid, modalities: ['text', 'audio'] }, 'modalities'],
    ['an audio setting', { ...valid, audio: { voice: 'alloy' } }, 'audio'],
    [
      'audio input',
      { ...valid, messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] },
      'messages[0].content[0]',
    ],
    [
      'a file',
      { ...valid, messages: [{ role: 'user', content: [{ type: 'file', file: {} }] }] },
      'messages[0].content[0]',
    ],
    ['a hosted tool', { ...valid, tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    ['a service tier that is a name of the language', { ...valid, service_tier: 'constructor' }, 'service_tier'],
    ['a moderation model that may cost something', { ...valid, moderation: { model: 'gpt-5.4' } }, 'moderation.model'],
    ['a service tier without a price', { ...valid, service_tier: 'ultrafast' }, 'service_tier'],
  ])('is refused as unpriceable with %s, naming the parameter', (_, body, param) => {
    expect(refusal(body)).toEqual({ code: 'unpriceable_request', param });
  });

  it('can ask for moderation by headers too, but never for less', () => {
    const request = parseChatRequest({ ...valid, moderateInput: true });
    expect(wishOf(request, { 'x-daypass-moderate-output': 'true', 'x-daypass-moderate-input': 'false' })).toEqual({
      input: true,
      output: true,
    });
  });
});
