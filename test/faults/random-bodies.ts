import fc from 'fast-check';

type Json = Record<string, unknown>;
/** Text, or bytes that are none. */
export type Body = string | Uint8Array<ArrayBuffer>;

/** Stands for a phrase until `phrased` makes it one that no other body has. */
const PHRASE = '\ue000';
/** The same, where only a reader of JSON finds it: in a string of JSON within a string. */
const ESCAPED_PHRASE = '\ue001';
const FOUND = /marked phrase \d+-\d+ end/g;

/** The phrases that were planted in a value: in names, in strings, and in the JSON that strings hold. */
export function phrasesIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, inner]) => [...phrasesIn(name), ...phrasesIn(inner)]);
  if (typeof value !== 'string') return [];
  return [...(value.match(FOUND) ?? []), ...(value.includes('\\u') ? phrasesIn(parsedOrNull(value)) : [])];
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** So many bodies for a chat completion, the same for the same seed: lawful ones, nearly lawful ones, and junk. */
export function randomBodies(seed: number, count: number): Body[] {
  return fc.sample(anyBody, { seed, numRuns: count }).map(phrased);
}

function phrased(body: Body, index: number): Body {
  if (typeof body !== 'string') return body;
  let planted = 0;
  const next = (): string => `marked phrase ${index}-${planted++} end`;
  return body.replaceAll(PHRASE, next).replaceAll(ESCAPED_PHRASE, () => escapedTwice(next()));
}

/** Escapes for the JSON within the JSON. */
const escapedTwice = (text: string): string =>
  [...text].map((letter) => `\\\\u${letter.codePointAt(0)!.toString(16).padStart(4, '0')}`).join('');

/** Of some chance in four; else it is left out. */
function seldom<T>(arbitrary: fc.Arbitrary<T>, weight = 1): fc.Arbitrary<T | null | undefined> {
  return fc.oneof(
    { weight: 20 - 5 * weight, arbitrary: fc.constant(undefined) },
    { weight: 5 * weight, arbitrary },
    { weight: 1, arbitrary: fc.constant(null) },
  );
}

const words = fc
  .array(fc.constantFrom('red', 'green', 'house', 'river', 'écran', '漢字', '😀', '7'), { minLength: 1, maxLength: 8 })
  .map((list) => list.join(' '));
const planted = fc.tuple(words, words).map(([before, after]) => `${before} ${PHRASE} ${after}`);
const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: words },
  { weight: 3, arbitrary: planted },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  { weight: 1, arbitrary: fc.constantFrom('half \ud83d', '\ude00', '<|endoftext|>', '\u0000', '__proto__') },
);
const name = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('f', 'get_weather', 'call_1', 'Zq-7') },
  { weight: 1, arbitrary: text },
);
const number = fc.oneof(fc.integer({ min: 0, max: 2 }), fc.double({ min: -2, max: 2, noNaN: true }));

const { schema } = fc.letrec<{ schema: Json }>((tie) => ({
  schema: fc.record(
    {
      type: fc.constantFrom('object', 'string', 'integer', ['string', 'null']),
      description: text,
      enum: fc.array(text, { minLength: 1, maxLength: 2 }),
      maximum: fc.integer(),
      properties: fc.dictionary(text, tie('schema'), { maxKeys: 2, depthIdentifier: 'schema' }),
      $defs: fc.dictionary(text, tie('schema'), { maxKeys: 1, depthIdentifier: 'schema' }),
    },
    { requiredKeys: ['type'] },
  ),
}));

/** The text of arguments, and some that is no JSON. */
const callArguments = fc.oneof(
  { weight: 4, arbitrary: fc.dictionary(text, text, { maxKeys: 2 }).map((value) => JSON.stringify(value)) },
  { weight: 2, arbitrary: fc.constantFrom(`{"a":"${ESCAPED_PHRASE}"}`, `{"${ESCAPED_PHRASE}":[{"b":null}]}`) },
  { weight: 1, arbitrary: text },
);
const functionCall = fc.record({ name, arguments: callArguments });
const toolCall = fc.oneof(
  fc.record({ id: name, type: fc.constant('function'), function: functionCall }),
  fc.record({ id: name, type: fc.constant('custom'), custom: fc.record({ name, input: text }) }),
);
const textPart = fc.record({ type: fc.constant('text'), text });
const imagePart = fc.record({
  type: fc.constant('image_url'),
  image_url: fc.record({
    // Nobody fetches from a private address, and these tests ask no other server.
    url: fc.constantFrom(
      'data:image/png;base64,iVBORw0KGgo=',
      'data:image/gif;base64,R0lGODlh',
      'data:image/webp;base64,UklGRg==',
      `http://127.0.0.1/?${PHRASE}`,
    ),
    detail: seldom(fc.constantFrom('low', 'high', 'auto')),
  }),
});
const parts = fc.array(fc.oneof({ weight: 3, arbitrary: textPart }, { weight: 1, arbitrary: imagePart }), {
  minLength: 1,
  maxLength: 3,
});
const content = fc.oneof({ weight: 3, arbitrary: text }, { weight: 1, arbitrary: parts });

/** As clients send an answer back. */
const assistant = fc.record({
  role: fc.constant('assistant'),
  content: fc.oneof(text, fc.constant(null), fc.array(textPart, { minLength: 1, maxLength: 2 })),
  refusal: seldom(text),
  tool_calls: seldom(fc.array(toolCall, { minLength: 1, maxLength: 2 })),
  function_call: seldom(functionCall),
  reasoning: seldom(text),
  reasoning_content: seldom(text),
  reasoning_details: seldom(fc.array(fc.record({ type: fc.constant('reasoning.text'), text }), { maxLength: 2 })),
  annotations: seldom(fc.constant([{ type: 'url_citation', url_citation: { title: PHRASE, url: 'https://x.org' } }])),
  parsed: seldom(fc.dictionary(text, text, { maxKeys: 1 })),
  id: seldom(name),
  provider_specific_fields: seldom(fc.dictionary(text, text, { maxKeys: 1 })),
  audio: fc.constantFrom(undefined, null),
});
const message: fc.Arbitrary<Json> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ role: fc.constant('user'), content, name: seldom(name) }) },
  { weight: 1, arbitrary: fc.record({ role: fc.constantFrom('system', 'developer'), content: text }) },
  { weight: 3, arbitrary: assistant },
  { weight: 1, arbitrary: fc.record({ role: fc.constant('tool'), tool_call_id: name, content: text }) },
  { weight: 1, arbitrary: fc.record({ role: fc.constant('function'), name, content: text }) },
);

const definition = fc.record({ name, description: seldom(text), parameters: seldom(schema, 2) });
const tool = fc.oneof(
  fc.record({ type: fc.constant('function'), function: definition }),
  fc.record({
    type: fc.constant('custom'),
    custom: fc.record({
      name,
      description: seldom(text),
      format: seldom(
        fc.record({
          type: fc.constant('grammar'),
          grammar: fc.record({ syntax: fc.constantFrom('lark', 'regex'), definition: text }),
        }),
      ),
    }),
  }),
);
const named = fc.record({ name });

const lawful: fc.Arbitrary<Json> = fc
  .tuple(
    fc.record({
      model: fc.constantFrom('gpt-5.4-mini', 'gpt-5.4-nano'),
      messages: fc.array(message, { minLength: 1, maxLength: 3 }),
      frequency_penalty: seldom(number),
      function_call: seldom(fc.oneof(fc.constantFrom('none', 'auto'), named)),
      functions: seldom(fc.array(definition, { minLength: 1, maxLength: 2 })),
      logit_bias: seldom(fc.constant({ '50256': -100 })),
      logprobs: seldom(fc.boolean()),
      metadata: seldom(fc.dictionary(text, text, { maxKeys: 2 })),
      modalities: seldom(fc.constant(['text'])),
      moderateInput: seldom(fc.boolean()),
      moderateOutput: seldom(fc.boolean()),
      n: seldom(fc.integer({ min: 1, max: 3 })),
      parallel_tool_calls: seldom(fc.boolean()),
      prediction: seldom(
        fc.record({ type: fc.constant('content'), content: fc.oneof(text, fc.array(textPart, { maxLength: 2 })) }),
      ),
      presence_penalty: seldom(number),
      prompt_cache_key: seldom(name),
      reasoning_effort: seldom(fc.constantFrom('low', 'none')),
      response_format: seldom(
        fc.oneof(
          fc.constantFrom<Json>({ type: 'text' }, { type: 'json_object' }),
          fc.record({
            type: fc.constant('json_schema'),
            json_schema: fc.record({ name, description: seldom(text), schema: seldom(schema, 2) }),
          }),
        ),
      ),
      safety_identifier: seldom(text),
      seed: seldom(fc.integer()),
      service_tier: seldom(fc.constantFrom('auto', 'default', 'flex')),
      stop: seldom(fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 4 }))),
      store: seldom(fc.boolean()),
      temperature: seldom(number),
      tool_choice: seldom(
        fc.oneof(
          fc.constantFrom('none', 'auto', 'required'),
          fc.record({ type: fc.constant('function'), function: named }),
        ),
      ),
      tools: seldom(fc.array(tool, { minLength: 1, maxLength: 2 })),
      top_logprobs: seldom(fc.integer({ min: 0, max: 5 })),
      top_p: seldom(number),
      user: seldom(text),
      verbosity: seldom(fc.constantFrom('low', 'high')),
    }),
    fc.constantFrom({}, { max_tokens: 20 }, { max_completion_tokens: 20 }, { max_tokens: null }),
    fc.constantFrom({}, { stream: false }, { stream: true }, { stream: true, stream_options: { include_usage: true } }),
  )
  .map(([body, cap, stream]) => ({ ...body, ...cap, ...stream }));

const junk: fc.Arbitrary<unknown> = fc.oneof(
  text,
  fc.constant(null),
  fc.integer(),
  fc.boolean(),
  fc.dictionary(text, text, { maxKeys: 2 }),
  fc.array(text, { maxLength: 2 }),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>,
);
const fieldName = fc.oneof(
  text,
  fc.constantFrom('image_url', 'audio', 'file', 'input_audio', 'content', 'type', 'best_of', 'constructor', 'index'),
);

interface Change {
  /** Counts objects and arrays, and then what one of them holds. */
  at: number;
  how: 'replace' | 'remove' | 'add';
  name: string;
  value: unknown;
}

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'remove', 'add'),
  name: fieldName,
  value: junk,
});

function changed(body: Json, { at, how, name: field, value }: Change): Json {
  const copy = JSON.parse(JSON.stringify(body)) as Json;
  const holders = holdersIn(copy);
  const holder = holders[at % holders.length]!;
  const fields = Object.keys(holder);
  const chosen = fields[at % Math.max(1, fields.length)];
  if (how === 'add' || chosen === undefined) holder[Array.isArray(holder) ? holder.length : field] = value;
  else if (how === 'replace') holder[chosen] = value;
  else if (Array.isArray(holder)) holder.splice(Number(chosen), 1);
  else delete holder[chosen];
  return copy;
}

/** The value itself and every object and array in it. */
function holdersIn(value: unknown): Json[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Json, ...Object.values(value).flatMap(holdersIn)];
}

const nearlyLawful = fc
  .tuple(lawful, fc.array(change, { minLength: 1, maxLength: 3 }))
  .map(([body, changes]) => changes.reduce(changed, body));

/** What is no body at all. */
const rubbish: fc.Arbitrary<Body> = fc.oneof(
  fc.json(),
  fc.string({ unit: 'binary' }),
  fc.uint8Array(),
  lawful.map((body) => JSON.stringify(body).slice(0, -2)),
  lawful.map((body) => new Uint8Array(Buffer.from(JSON.stringify(body), 'latin1'))),
  fc.constantFrom(`{"messages":${'['.repeat(2_000)}${']'.repeat(2_000)}}`, '', '{}', 'null', '{"__proto__":{}}'),
);

const anyBody: fc.Arbitrary<Body> = fc.oneof(
  { weight: 6, arbitrary: lawful.map((body) => JSON.stringify(body)) },
  { weight: 5, arbitrary: nearlyLawful.map((body) => JSON.stringify(body)) },
  { weight: 1, arbitrary: rubbish },
);
