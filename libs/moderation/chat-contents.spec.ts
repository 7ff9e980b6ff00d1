import { describe, expect, it } from '@jest/globals';
import { chatInputContents, chatOutputContents, chunkTexts, StreamTexts } from './chat-contents.js';

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
    ["a tool call's arguments", { messages: [{ role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: 'MARK' } }] }] }],
    ['a tool result', { messages: [{ role: 'tool', tool_call_id: 'c', content: 'MARK' }] }],
    ['a refusal', { messages: [{ role: 'assistant', refusal: 'MARK' }] }],
    ['an image', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/MARK.png' } }] }] }],
    ['a tool definition', { messages: [], tools: [{ type: 'function', function: { name: 'f', description: 'MARK' } }] }],
    ["a schema's property name", { messages: [], response_format: { type: 'json_schema', json_schema: { schema: { properties: { MARK: {} } } } } }],
    ['predicted output', { messages: [], prediction: { type: 'content', content: 'MARK' } }],
    ['a text beside an image', { messages: [{ role: 'user', content: [{ type: 'image_url', text: 'MARK', image_url: { url: 'https://x', note: 'y' } }] }] }],
    ['content of a message that poses as an image', { messages: [{ role: 'user', type: 'image_url', content: 'MARK', image_url: { url: 'https://x' } }] }],
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
    add({ choices: [{ index: 0, delta: { tool_calls: [{ index: 1, id: 'c', function: { name: 'f', arguments: '{"a":' } }] } }] });
    add({ choices: [{ index: 0, delta: { tool_calls: [{ index: 1, function: { arguments: '"b"}' } }] } }] });
    expect(stream.texts()).toEqual(['MARK', 'other', 'f', '{"a":"b"}']);
  });
});
