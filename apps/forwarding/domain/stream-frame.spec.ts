import { describe, expect, it } from '@jest/globals';
import { blockedCompletion, blockedStream } from './blocked-output.js';
import { capped } from './capped.js';
import { readFrame } from './stream-frame.js';

describe('a frame of a stream', () => {
  it('reaches a visitor who asked for usage byte by byte', () => {
    const data = '{"id":"x",  "choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}';
    expect(readFrame(data, true)).toMatchObject({
      text: `data: ${data}\n\n`,
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    });
  });

  it('loses the usage that only Daypass asked for, and the frame that held nothing else', () => {
    expect(readFrame('{"id":"x","choices":[{"delta":{"content":"a"}}],"usage":null}', false).text).toBe(
      'data: {"id":"x","choices":[{"delta":{"content":"a"}}]}\n\n',
    );
    const last = readFrame('{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}', false);
    expect(last).toMatchObject({ text: '', usage: { completion_tokens: 2 } });
  });

  it('shows nothing of what it cannot read, so that nothing unjudged is shown', () => {
    expect(readFrame('not json', true).text).toBe('');
    expect(readFrame('42', true).text).toBe('');
  });

  it('knows an error object and the end', () => {
    expect(readFrame('{"error":{"message":"stop"}}', true)).toMatchObject({ text: '', error: { message: 'stop' } });
    expect(readFrame('[DONE]', false)).toMatchObject({ done: true, text: 'data: [DONE]\n\n' });
  });
});

describe('output that moderation took away', () => {
  it('keeps the completion and its usage, and empties every choice', () => {
    const blocked = blockedCompletion({
      id: 'c',
      usage: { completion_tokens: 9 },
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'bad', tool_calls: [{}] },
          logprobs: { content: [{ token: 'bad' }] },
          finish_reason: 'stop',
        },
      ],
    });
    expect(blocked).toEqual({
      id: 'c',
      usage: { completion_tokens: 9 },
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: null, refusal: null },
          logprobs: null,
          finish_reason: 'content_filter',
        },
      ],
    });
  });

  it('ends a stream with content_filter for every choice, and its usage where it was asked for', () => {
    const frames = blockedStream({ id: 'c', created: 1, model: 'm', choices: [{ delta: { content: 'bad' } }] }, 2, {
      completion_tokens: 9,
    })
      .trim()
      .split('\n\n')
      .map((frame) => frame.slice('data: '.length));
    expect(frames.at(-1)).toBe('[DONE]');
    const role = { role: 'assistant', content: '' };
    expect(frames.slice(0, -1).map((frame) => JSON.parse(frame) as unknown)).toMatchObject([
      { choices: [{ index: 0, delta: role, finish_reason: null }], usage: null },
      { choices: [{ index: 1, delta: role, finish_reason: null }], usage: null },
      { choices: [{ index: 0, delta: {}, finish_reason: 'content_filter' }], usage: null },
      { choices: [{ index: 1, delta: {}, finish_reason: 'content_filter' }], usage: null },
      { choices: [], usage: { completion_tokens: 9 } },
    ]);
    expect(frames.join('')).not.toContain('bad');
  });
});

describe('the output cap', () => {
  it('goes upstream under the name that the visitor used', () => {
    expect(capped({ max_tokens: 500 }, 100)).toEqual({ max_tokens: 100 });
    expect(capped({ max_tokens: null }, 100)).toEqual({ max_tokens: null, max_completion_tokens: 100 });
    expect(capped({}, 100)).toEqual({ max_completion_tokens: 100 });
  });
});
