import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { StreamTexts, type Content } from '#libs/endpoints/content.js';
import { chatInputContents, chatOutputContents, chunkTexts } from '#libs/moderation/chat-contents.js';
import { parseChatRequest } from './chat-request.js';

const MARK = 'M4RK';
type Path = (string | number)[];

const judged = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : content.url)).join('\n');

/** Every place of a text, and of a name that a visitor may choose (`properties`, `$defs`). */
function places(value: unknown, path: Path = []): Path[] {
  if (typeof value === 'string') return [path];
  if (Array.isArray(value)) return value.flatMap((item, index) => places(item, [...path, index]));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => places(inner, [...path, name]));
}

function planted(value: unknown, [step, ...rest]: Path, text: string): unknown {
  if (step === undefined) return text;
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (index === step ? planted(item, rest, text) : item));
  return Object.fromEntries(
    Object.entries(value as object).map(([name, inner]) => [name, name === step ? planted(inner, rest, text) : inner]),
  );
}

const REQUEST = {
  model: 'm',
  messages: [
    { role: 'system', content: 'rules', name: 'boss' },
    { role: 'developer', content: [{ type: 'text', text: 'more rules' }] },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: 'https://example.org/a.png', detail: 'low' } },
      ],
    },
    {
      role: 'assistant',
      content: null,
      refusal: 'no',
      tool_calls: [{ id: 'call', type: 'function', function: { name: 'f', arguments: '{}' } }],
      annotations: [{ type: 'url_citation', url_citation: { title: 'a page', url: 'https://example.org' } }],
    },
    { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }], function_call: { name: 'g', arguments: '{}' } },
    { role: 'tool', tool_call_id: 'call', content: 'result' },
    { role: 'function', name: 'g', content: 'result' },
  ],
  tools: [
    {
      type: 'function',
      function: {
        name: 'f',
        description: 'does',
        parameters: { type: 'object', properties: { a: { enum: ['x'], description: 'y' } } },
      },
    },
    {
      type: 'custom',
      custom: {
        name: 'c',
        description: 'does',
        format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: "a"' } },
      },
    },
  ],
  functions: [{ name: 'g', description: 'did' }],
  response_format: {
    type: 'json_schema',
    json_schema: { name: 'n', description: 'd', schema: { properties: { a: { const: 'v' } } } },
  },
  prediction: { type: 'content', content: [{ type: 'text', text: 'perhaps' }] },
  web_search_options: { user_location: { type: 'approximate', approximate: { city: 'Lisbon' } } },
};
/** Words of the protocol that are no text: with anything else in them the request is refused, by us or upstream. */
const PROTOCOL = /^(model|.*\.(role|detail|type))$/;

const MESSAGE = {
  role: 'assistant',
  content: 'said',
  refusal: 'no',
  annotations: [{ type: 'url_citation', url_citation: { title: 'a page', url: 'https://example.org' } }],
  tool_calls: [
    { id: 'call', type: 'function', function: { name: 'f', arguments: '{}' } },
    { id: 'other', type: 'custom', custom: { name: 'c', input: 'free' } },
  ],
  function_call: { name: 'g', arguments: '{}' },
};
const LOGPROBS = {
  content: [{ token: 'said', logprob: -1, bytes: [1], top_logprobs: [{ token: 'said' }, { token: 'meant' }] }],
  refusal: [{ token: 'no', logprob: -1, bytes: null, top_logprobs: [{ token: 'never' }] }],
};

describe('whatever a model reads or writes is judged', () => {
  const everywhere = places(REQUEST).filter((path) => !PROTOCOL.test(path.join('.')));

  it('has many places in a request', () => expect(everywhere.length).toBeGreaterThan(30));

  it.each(everywhere.map((path) => [path.join('.'), path] as const))('a phrase in %s', (_, path) => {
    const { body } = parseChatRequest(
      planted(REQUEST, path, path.at(-1) === 'url' ? `https://example.org/${MARK}` : `before ${MARK} after`),
    );
    expect(judged(chatInputContents(body))).toContain(MARK);
  });

  it('a name that a schema gives to a property', () => {
    for (const changed of [
      { tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { [MARK]: {} } } } }] },
      { response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { $defs: { [MARK]: {} } } } } },
    ])
      expect(judged(chatInputContents(parseChatRequest({ ...REQUEST, ...changed }).body))).toContain(MARK);
  });

  const answer = (message: object, logprobs: object) => ({
    choices: [
      { index: 0, message: { role: 'assistant', content: 'fine' } },
      { index: 1, message, logprobs },
    ],
  });
  it.each(
    places(MESSAGE)
      .filter((path) => !/(^|\.)(role|type)$/.test(path.join('.')))
      .map((path) => [path.join('.'), path] as const),
  )('a phrase in the %s of any choice of an answer', (_, path) =>
    expect(judged(chatOutputContents(answer(planted(MESSAGE, path, MARK) as object, LOGPROBS)))).toContain(MARK),
  );

  it.each(places(LOGPROBS).map((path) => [path.join('.'), path] as const))(
    'a token in the %s of the logprobs, of an answer and of a stream',
    (_, path) => {
      const logprobs = planted(LOGPROBS, path, MARK) as object;
      expect(judged(chatOutputContents(answer(MESSAGE, logprobs)))).toContain(MARK);
      expect(
        chunkTexts({ choices: [{ index: 0, delta: { content: 'said' }, logprobs }] })
          .map(({ text }) => text)
          .join(),
      ).toContain(MARK);
    },
  );

  it('a phrase in a stream, however it is cut, in whichever field of whichever choice', () => {
    const fields: ((text: string) => object)[] = [
      (text) => ({ content: text }),
      (text) => ({ refusal: text }),
      (text) => ({ function_call: { arguments: text } }),
      (text) => ({ tool_calls: [{ index: 2, function: { arguments: text } }] }),
      (text) => ({ tool_calls: [{ index: 0, custom: { input: text } }] }),
    ];
    const cuts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(
        fc.constantFrom(...fields),
        fc.integer({ min: 0, max: 3 }),
        cuts,
        fc.string(),
        fc.string(),
        (field, choice, lengths, before, after) => {
          const stream = new StreamTexts();
          const text = `${before}${MARK}${after}`;
          for (let at = 0, n = 0; at < text.length; n++) {
            const piece = text.slice(at, at + lengths[n % lengths.length]!);
            at += piece.length;
            stream.add(chunkTexts({ choices: [{ index: choice, delta: field(piece) }] }));
            // Another choice speaks in between.
            stream.add(chunkTexts({ choices: [{ index: choice + 1, delta: { content: 'meanwhile' } }] }));
          }
          expect(judged(stream.contents())).toContain(MARK);
        },
      ),
    );
  });
});
