import { describe, expect, it } from '@jest/globals';
import { judgedWords, saidIn } from '../../web/console/kit/said.js';

describe('the words of a call', () => {
  it.each([
    [
      'chat with parts',
      {
        messages: [
          { role: 'system', content: 'Be kind.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Look:' },
              { type: 'image_url', image_url: { url: 'http://x' } },
            ],
          },
          { role: 'assistant', content: null, tool_calls: [{}] },
        ],
      },
      [
        ['system', 'Be kind.'],
        ['user', 'Look:\n[image_url]'],
        ['assistant', '[tool calls]'],
      ],
    ],
    [
      'a response',
      { instructions: 'Be brief.', input: 'Hi' },
      [
        ['instructions', 'Be brief.'],
        ['user', 'Hi'],
      ],
    ],
    [
      'a response with items',
      {
        input: [
          { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
          { type: 'function_call_output', output: '42' },
        ],
      },
      [
        ['user', 'Hi'],
        ['function_call_output', '42'],
      ],
    ],
    [
      'embeddings',
      { input: ['one', 'two'] },
      [
        ['user', 'one'],
        ['user', 'two'],
      ],
    ],
    ['an unknown form', { odd: 1 }, []],
    ['nothing', null, []],
  ])('of %s are found', (_, asked, said) => {
    expect(saidIn(asked).map(({ who, text }) => [who, text])).toEqual(said);
  });

  it('of a judged answer are its texts, or its JSON', () => {
    expect(
      judgedWords([
        { kind: 'text', text: 'a' },
        { kind: 'text', text: 'b' },
      ]),
    ).toBe('a\nb');
    expect(judgedWords({ odd: 1 })).toBe('{\n  "odd": 1\n}');
  });
});
