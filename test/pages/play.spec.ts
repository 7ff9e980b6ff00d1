import { describe, expect, it } from '@jest/globals';
import { runInNewContext } from 'node:vm';
import { fullness, newTurn, requestOf, TURNS_MAX, type Turn, type Wish } from '../../web/visitors/play/chat.js';
import { matching } from '../../web/visitors/help/entries.js';
import { snippetsOf } from '../../web/visitors/play/snippets.js';
import { StreamReader, type Heard } from '../../web/visitors/play/stream.js';
import { chatModels, ordinal, partsOf, placeWords, Speaker, verdictsIn } from '../../web/visitors/play/texts.js';

const chunk = (delta: object, more: object = {}): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, ...more }] })}\n\n`;
const STREAM = [
  ': waiting\n\n',
  ': queued position=12 eta_ms=900\n\n',
  chunk({ role: 'assistant', content: '' }),
  chunk({ content: 'Hällo 👋' }),
  chunk({ content: ' there.' }),
  chunk({}, { finish_reason: 'stop' }),
  `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 3 } })}\n\n`,
  'data: [DONE]\n\n',
].join('');
const HEARD: Heard[] = [
  { is: 'place', position: 12, etaMs: 900 },
  { is: 'text', text: 'Hällo 👋' },
  { is: 'text', text: ' there.' },
  { is: 'finish', reason: 'stop' },
  { is: 'usage', tokensIn: 9, tokensOut: 3 },
  { is: 'over' },
];

describe('a streamed answer', () => {
  it('is heard the same, wherever its pieces end', () => {
    for (let at = 1; at < STREAM.length; at++) {
      const reader = new StreamReader();
      expect([...reader.read(STREAM.slice(0, at)), ...reader.read(STREAM.slice(at))]).toEqual(HEARD);
    }
    expect(
      [...STREAM.replaceAll('\n', '\r\n')].flatMap(
        (
          (reader) => (one) =>
            reader.read(one)
        )(new StreamReader()),
      ),
    ).toEqual(HEARD);
  });

  it('is refused in the middle, stopped, or no stream at all', () => {
    const error = { message: 'It broke.', type: 'x', param: null, code: 'upstream_error' };
    expect(new StreamReader().read(`data: ${JSON.stringify({ error })}\n\n`)).toEqual([{ is: 'error', error }]);
    expect(new StreamReader().read(chunk({}, { finish_reason: 'content_filter' }))).toEqual([
      { is: 'finish', reason: 'content_filter' },
    ]);
    expect(() => new StreamReader().read('data: <html>\n\n')).toThrow(SyntaxError);
    expect(() => new StreamReader().read('x'.repeat(1_000_001))).toThrow('without an end');
  });
});

describe('the text of an answer', () => {
  it.each([
    ['plain', 'Hello.\n\n<b>There</b>', [['text', 'Hello.\n\n<b>There</b>', '']]],
    [
      'with a block',
      'Look:\n```python\nprint("```")\n```\nDone.',
      [
        ['text', 'Look:', ''],
        ['code', 'print("```")', 'python'],
        ['text', 'Done.', ''],
      ],
    ],
    ['with a block that has no end yet', '```\na\nb', [['code', 'a\nb', '']]],
    ['with a fence in a longer fence', '````md\n```\nx\n```\n````', [['code', '```\nx\n```', 'md']]],
    ['with fences in a line', 'a ``` b ``` c', [['text', 'a ``` b ``` c', '']]],
    ['of nothing', ' \n', []],
  ])('%s is split at its fences', (_, text, parts) => {
    expect(partsOf(text).map(({ is, text: inner, language }) => [is, inner, language])).toEqual(parts);
  });

  it('is heard in whole sentences, and code is not read out', () => {
    const said = ['The pri', 'ce is 3', '.5 dollars. And', ' so on\n', '``', '`js\nlet x = 1. \n', '```\nGood', ' bye'];
    const speaker = new Speaker();
    const heard = said.map((piece) => speaker.push(piece));
    expect(heard).toEqual([[], [], ['The price is 3.5 dollars.'], ['And so on'], [], ['A block of code.'], [], []]);
    expect(speaker.end()).toEqual(['Good bye']);
  });

  it('is heard in pieces where a sentence has no end', () => {
    const speaker = new Speaker();
    expect(speaker.push('x'.repeat(1_200)).map(({ length }) => length)).toEqual([500, 500]);
    expect(speaker.end().join('')).toHaveLength(200);
  });
});

describe('words of the playground', () => {
  it.each([
    [1, '1st'],
    [2, '2nd'],
    [3, '3rd'],
    [4, '4th'],
    [11, '11th'],
    [12, '12th'],
    [21, '21st'],
    [113, '113th'],
    [1_002, '1,002nd'],
  ])('%i is the %s', (count, word) => expect(ordinal(count)).toBe(word));

  it('tell of a place in the line', () => {
    expect(placeWords({ position: 12, etaMs: 900 })).toBe('12th in line, about 1 s');
    expect(placeWords({ position: 1, etaMs: 0 })).toBe('1st in line, about 1 s');
    expect(placeWords({ position: 3, etaMs: 61_000 })).toBe('3rd in line, about 2 minutes');
  });

  it('read verdicts, and know models that make text', () => {
    expect(verdictsIn('input=pass; output=window')).toEqual({ input: 'pass', output: 'window' });
    expect([verdictsIn(null), verdictsIn('input=pass')]).toEqual([null, null]);
    expect(chatModels(['gpt-5.4-mini', 'text-embedding-3-small', 'gpt-image-2', 'gpt-transcribe', 'own'])).toEqual([
      'gpt-5.4-mini',
      'own',
    ]);
  });
});

const wish: Wish = { model: 'm', system: 'Be brief.', maxTokens: 50 };
const turnOf = (asked: string, change: Partial<Turn>): Turn => ({
  ...newTurn(1, requestOf({ ...wish, system: '' }, [], asked)),
  ...change,
});

describe('the next call of a conversation', () => {
  it('repeats what was said, and nothing that was refused', () => {
    const turns = [
      turnOf('one', { outcome: 'done', text: 'First.' }),
      turnOf('two', { outcome: 'refused' }),
      turnOf('three', { outcome: 'stopped', text: 'Thi' }),
    ];
    const request = requestOf(wish, turns, 'four');
    expect(request.messages.map(({ role, content }) => `${role}: ${content}`)).toEqual([
      'system: Be brief.',
      'user: one',
      'assistant: First.',
      'user: three',
      'assistant: Thi',
      'user: four',
    ]);
    expect(request).toMatchObject({ model: 'm', stream: true, max_completion_tokens: 50 });
    expect(requestOf({ ...wish, system: ' ', maxTokens: null }, [], 'x')).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: 'x' }],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('has bounds', () => {
    const long = turnOf('x', { outcome: 'done', text: 'y'.repeat(200_000) });
    expect(fullness([], requestOf(wish, [], 'x'))).toBeNull();
    expect(fullness([long], requestOf(wish, [long], 'x'))).toContain('Begin a new one');
    const many = Array.from({ length: TURNS_MAX }, () => turnOf('x', { outcome: 'done', text: 'y' }));
    expect(fullness(many, requestOf(wish, many, 'x'))).toContain('Begin a new one');
  });

  it('is the same as code, whatever it says', () => {
    const odd = `It's "odd": \\ \n$(x) \`y\` 👋 True null`;
    const request = requestOf(wish, [], odd);
    const { stream_options: _, ...asked } = request;
    const [curl, node, python] = snippetsOf({ baseUrl: 'https://try.example/v1', key: 'dp_x' }, request).map(
      ({ text }) => text,
    ) as [string, string, string];
    expect(curl).toContain("-d '");
    const inCurl = /-d '([\s\S]*)'$/.exec(curl)![1]!.replaceAll(String.raw`'\''`, "'");
    expect(JSON.parse(inCurl)).toEqual(asked);
    const inNode = /create\((\{[\s\S]*?\n\})\);/.exec(node)![1]!;
    expect(JSON.parse(JSON.stringify(runInNewContext(`(${inNode})`)))).toEqual(asked);
    expect(python).toContain('    stream=True,');
    expect(python).toContain(`"content": ${JSON.stringify(odd)}`);
  });
});

describe('the page of errors', () => {
  it('is searched by code, status and words', () => {
    expect(matching('quota').map(({ id }) => id)).toEqual(['insufficient_quota']);
    expect(matching('429 LINE').map(({ id }) => id)).toContain('queue_full');
    expect(matching('').length).toBeGreaterThan(40);
    expect(matching('').at(-1)!.id).toBe('provider');
    expect(matching('no such word at all')).toEqual([]);
  });
});
