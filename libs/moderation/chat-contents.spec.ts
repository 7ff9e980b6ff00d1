import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { holdsAny, StreamTexts } from '#libs/endpoints/content.js';
import { chatInputContents, chatOutputContents, chatReplaced, chunkTexts, framesReplaced } from './chat-contents.js';

const texts = (contents: ReturnType<typeof chatInputContents>): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : content.url)).join('|');

describe('what of a chat is judged', () => {
  it.each([
    ['a system message', { messages: [{ role: 'system', content: 'MARK' }] }],
    [
      'an earlier message',
      {
        messages: [
          { role: 'user', content: 'MARK' },
          { role: 'user', content: 'hi' },
        ],
      },
    ],
    ['a text part', { messages: [{ role: 'user', content: [{ type: 'text', text: 'MARK' }] }] }],
    ['a name', { messages: [{ role: 'user', name: 'MARK', content: 'hi' }] }],
    [
      "a tool call's arguments",
      {
        messages: [
          {
            role: 'assistant',
            tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: 'MARK' } }],
          },
        ],
      },
    ],
    ['a tool result', { messages: [{ role: 'tool', tool_call_id: 'c', content: 'MARK' }] }],
    ['a refusal', { messages: [{ role: 'assistant', refusal: 'MARK' }] }],
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/MARK.png' } }] }] },
    ],
    [
      'a tool definition',
      { messages: [], tools: [{ type: 'function', function: { name: 'f', description: 'MARK' } }] },
    ],
    [
      "a schema's property name",
      { messages: [], response_format: { type: 'json_schema', json_schema: { schema: { properties: { MARK: {} } } } } },
    ],
    ['predicted output', { messages: [], prediction: { type: 'content', content: 'MARK' } }],
    [
      'a text beside an image',
      {
        messages: [
          { role: 'user', content: [{ type: 'image_url', text: 'MARK', image_url: { url: 'https://x', note: 'y' } }] },
        ],
      },
    ],
    [
      'content of a message that poses as an image',
      { messages: [{ role: 'user', type: 'image_url', content: 'MARK', image_url: { url: 'https://x' } }] },
    ],
    ['an id', { messages: [{ role: 'tool', tool_call_id: 'MARK', content: 'x' }] }],
    ['a role that is no role', { messages: [{ role: 'MARK this', content: 'x' }] }],
    ['a field that is not known', { messages: [{ role: 'user', novelty: { deep: ['MARK'] } }] }],
  ])('includes %s', (_, body) => expect(texts(chatInputContents(body))).toContain('MARK'));

  it('is one text for each message, however many parts it has', () => {
    const parts = Array.from({ length: 500 }, (_, index) => ({ type: 'text', text: `part ${index}` }));
    const contents = chatInputContents({
      messages: [
        { role: 'user', content: parts },
        { role: 'user', content: 'more' },
      ],
    });
    expect(contents).toHaveLength(2);
    expect(texts(contents)).toContain('part 499');
  });

  it.each([
    ['content', { content: 'MARK' }],
    ['a refusal', { refusal: 'MARK' }],
    ["a tool call's arguments", { tool_calls: [{ function: { name: 'f', arguments: '{"a":"MARK"}' } }] }],
  ])('includes %s of any choice of an answer', (_, message) => {
    expect(texts(chatOutputContents({ choices: [{ message: { content: 'fine' } }, { message }] }))).toContain('MARK');
  });

  it('joins the pieces of a stream, choice by choice and call by call', () => {
    const stream = new StreamTexts();
    const add = (chunk: Record<string, unknown>): void => stream.add(chunkTexts(chunk));
    add({ choices: [{ index: 0, delta: { role: 'assistant', content: 'MA' } }] });
    add({ choices: [{ index: 1, delta: { content: 'other' } }] });
    add({ choices: [{ index: 0, delta: { content: 'RK' } }] });
    add({
      choices: [
        { index: 0, delta: { tool_calls: [{ index: 1, id: 'c', function: { name: 'f', arguments: '{"a":' } }] } },
      ],
    });
    add({ choices: [{ index: 0, delta: { tool_calls: [{ index: 1, function: { arguments: '"b"}' } }] } }] });
    expect(stream.texts()).toEqual(['MARK', 'other', 'f', '{"a":"b"}']);
  });
});

describe('what is taken out of a chat', () => {
  const replacements = [{ find: 'a@b.co', replace: '[email]' }];

  it('goes wherever a model would read or show it, and nothing else changes', () => {
    const body = {
      model: 'm',
      user: 'a@b.co',
      messages: [
        { role: 'user', name: 'a@b.co', content: 'I am a@b.co, yes a@b.co' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a@b.co' },
            { type: 'image_url', image_url: { url: 'https://x/?a@b.co' } },
          ],
        },
        {
          role: 'assistant',
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"to":"a@b.co"}' } }],
        },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { 'a@b.co': {} } } } }],
    };
    const replaced = chatReplaced(body, replacements);
    expect(holdsAny(chatInputContents(body), replacements)).toBe(true);
    expect(holdsAny(chatInputContents(replaced), replacements)).toBe(false);
    expect(replaced).toMatchObject({
      model: 'm',
      user: 'a@b.co',
      messages: [
        { role: 'user', content: 'I am [email], yes [email]' },
        { content: [{}, { image_url: { url: 'https://x/?a@b.co' } }] },
        {},
      ],
    });
    const answer = {
      id: 'x',
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          message: { role: 'assistant', content: 'a@b.co' },
          logprobs: { content: [{ token: 'a@b.co' }] },
        },
      ],
    };
    expect(chatReplaced(answer, replacements)).toEqual({
      id: 'x',
      choices: [
        { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: '[email]' }, logprobs: null },
      ],
    });
  });

  it('goes out of a stream, however it is cut, choice by choice, and the rest of it stays', () => {
    const told = ['Dear a@b.co, all is well.', 'Nothing here.', '{"to":"a@b.co"}'];
    const frame = (choice: number, field: 'content' | 'arguments', text: string): string => {
      const delta =
        field === 'content' ? { content: text } : { tool_calls: [{ index: 0, function: { arguments: text } }] };
      return `data: ${JSON.stringify({ id: 'x', choices: [{ index: choice, delta, finish_reason: null }] })}\n\n`;
    };
    const joined = (frames: readonly string[]): Record<string, string> => {
      const texts = new StreamTexts();
      for (const one of frames)
        if (one.includes('{')) texts.add(chunkTexts(JSON.parse(one.slice(6)) as Record<string, unknown>));
      return Object.fromEntries(texts.byPath());
    };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }), (lengths) => {
        const frames = told.flatMap((text, index) => {
          const crumbs: string[] = [];
          for (let at = 0, n = 0; at < text.length; n++) {
            const crumb = text.slice(at, at + lengths[n % lengths.length]!);
            crumbs.push(frame(index === 1 ? 1 : 0, index === 2 ? 'arguments' : 'content', crumb));
            at += crumb.length;
          }
          return crumbs;
        });
        frames.push('data: [DONE]\n\n');
        const replaced = framesReplaced(frames, replacements);
        expect(joined(replaced)).toEqual({
          '0.content': 'Dear [email], all is well.',
          '1.content': told[1],
          '0.tool_calls.0.function.arguments': '{"to":"[email]"}',
        });
        expect(replaced).toHaveLength(frames.length);
        expect(replaced.at(-1)).toBe('data: [DONE]\n\n');
        expect(framesReplaced(frames, [{ find: 'nowhere', replace: 'x' }])).toEqual(frames);
      }),
    );
  });
});
