import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { at, examplesOf, merged, placesOf, planted } from './contract.fixture.js';
import { holdsAny, StreamTexts, type Content } from './content.js';
import { MisshapenAnswer, type AnswerReader, type Endpoint } from './endpoint.js';
import { isObject } from './json.js';
import { ENDPOINTS } from './registry.js';

/** No word, id or number of any declaration has this form. */
const MARK = 'M4RK of the contract';
const ESCAPED = `\\u004d4RK of the contract`;

/** A whole answer and an event of a stream, as far as each API must have them: what is declared is tried within these. */
const ANSWERS: Record<string, { whole: unknown; event: unknown }> = {
  'chat.completions': {
    whole: {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model: 'gpt-5.4-mini',
      choices: [
        { index: 0, message: { role: 'assistant', content: 'fine' }, finish_reason: 'stop' },
        { index: 1, message: { role: 'assistant', content: 'as well' }, finish_reason: 'stop' },
      ],
    },
    event: {
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'gpt-5.4-mini',
      choices: [
        { index: 0, delta: { content: 'fi' } },
        { index: 1, delta: { content: 'as' } },
      ],
    },
  },
};

/** What a declared parameter needs beside it. */
const NEEDED: Record<string, object> = { 'chat.completions': { stream: true } };

const textsOf = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : content.url)).join('\n');
const holdsMark = (value: unknown): boolean => JSON.stringify(value).includes(MARK);

const ENCODED: readonly unknown[] = examplesOf({ kind: 'encoded' });

/** What stands at a place instead: the phrase as a value, in a list, as a name, and where a string stood, escaped in JSON. */
function plants(value: unknown): unknown[] {
  const encoded = [`{"a":"${ESCAPED}"}`, `{"${ESCAPED}":1}`, `{"a":"${ESCAPED}`, `{"a":"${MARK}","a":"fine"}`];
  const url = [`https://example.org/?${MARK}`, `data:image/png;base64,${MARK}`];
  return [
    MARK,
    [MARK],
    { a: MARK },
    { [MARK]: 1 },
    { [MARK]: null },
    ...(typeof value === 'string' ? url : []),
    // Only where a reader decodes it is an escaped phrase that phrase.
    ...(ENCODED.includes(value) ? encoded : []),
    ...(isObject(value)
      ? [
          { ...value, [MARK]: 1 },
          { ...value, [MARK]: null },
          { ...value, extra: MARK },
          { ...value, extra: { [MARK]: [1] } },
        ]
      : []),
    ...(Array.isArray(value)
      ? [
          [...(value as unknown[]), MARK],
          [...(value as unknown[]), { [MARK]: 1 }],
        ]
      : []),
  ];
}

interface Planting {
  path: readonly (string | number)[];
  plant: unknown;
  json: unknown;
}

/** Each example with each plant at each of its places; of what is as in the first example, once is enough. */
function* plantings(examples: readonly unknown[]): Generator<Planting> {
  const [first] = examples;
  for (const example of examples) {
    for (const path of placesOf(example)) {
      const [name] = path;
      const isKnown = name === undefined || JSON.stringify(at(example, [name])) === JSON.stringify(at(first, [name]));
      if (example !== first && isKnown) continue;
      for (const plant of plants(at(example, path))) yield { path, plant, json: planted(example, path, plant) };
    }
  }
}

interface Forwarded {
  adjusted: readonly string[];
  judged: string;
  counted: string;
  /** As an upstream that knows every field gets it. */
  sent: unknown;
}

async function forward(endpoint: Endpoint, json: unknown): Promise<Forwarded> {
  const request = endpoint.parse({ json, blobs: [] });
  const forced = { serviceTier: request.serviceTier, safetyIdentifier: 'visitor', cacheKey: 'visitor' };
  const body = endpoint.forwarded(request, forced);
  const counted: string[] = [];
  await endpoint.measure(request, {
    countTokens: (texts) => Promise.resolve(counted.push(...texts)),
    toolTokens: 0,
  });
  const sent = endpoint.call(body, { capTokens: 16, facts: {} }, { kind: 'compatible', drops: [] }).body.json;
  const { adjusted } = request;
  return { adjusted, judged: textsOf(endpoint.input(body)), counted: counted.join('\n'), sent };
}

describe.each(ENDPOINTS.map((endpoint) => [endpoint.name, endpoint] as const))('%s: a request', (name, endpoint) => {
  const examples = examplesOf(endpoint.declarations.request).map((example) => merged(NEEDED[name] ?? {}, example));

  it('has an example of everything that is declared, and each is let in', async () => {
    expect(examples.length).toBeGreaterThan(10);
    for (const example of examples) await expect(forward(endpoint, example)).resolves.toBeDefined();
  });

  it('is refused, or judged and counted and forwarded as it was judged, wherever a phrase stands in it', async () => {
    const outcomes = { refused: 0, forwarded: 0, dropped: 0 };
    for (const { path, plant, json } of plantings(examples)) {
      const where = JSON.stringify({ path, plant });
      const outcome = await forward(endpoint, json).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        // By name, with an error of the catalogue.
        expect({ where, error: outcome }).toEqual({ where, error: expect.any(DaypassError) });
        outcomes.refused++;
        continue;
      }
      const { adjusted, judged, counted, sent } = outcome as Forwarded;
      const isSent = JSON.stringify(sent).includes('4RK of the contract');
      if (!isSent) {
        // What stays behind is named; null is absent.
        const place = path.filter((step) => typeof step === 'string').join('.');
        const isNamed = adjusted.some((name) => place === name || place.startsWith(`${name}.`));
        expect({ where, isNamed: isNamed || JSON.stringify(plant).includes(`"${MARK}":null`) }).toEqual({
          where,
          isNamed: true,
        });
        outcomes.dropped++;
        continue;
      }
      outcomes.forwarded++;
      const isImage = typeof plant === 'string' && /^(https?:|data:)/.test(plant) && judged.includes(plant);
      expect({
        where,
        judged: judged.includes(MARK),
        counted: isImage || /4RK of the contract/.test(counted),
      }).toEqual({
        where,
        judged: true,
        counted: true,
      });
    }
    expect(outcomes.forwarded).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(1_000);
    expect(outcomes.dropped).toBeGreaterThan(0);
  });

  it('names every image that its upstream would fetch, and has another one in each place', () => {
    let replaced = 0;
    for (const { json } of plantings(examples)) {
      let request;
      try {
        request = endpoint.parse({ json, blobs: [] });
      } catch {
        continue;
      }
      const body = endpoint.forwarded(request, { serviceTier: 'default', safetyIdentifier: 'v', cacheKey: 'v' });
      const shown = (of: typeof body): string[] =>
        endpoint.input(of).flatMap((content) => (content.kind === 'image' ? [content.url] : []));
      const remote = endpoint.remoteImages(body);
      expect(remote.map(({ url }) => url)).toEqual(shown(body).filter((url) => url.startsWith('http')));
      expect(request.remoteImages).toBe(remote.length);
      const names = remote.map(({ param }) =>
        param.split(/[.[\]]+/).map((step) => (/^\d+$/.test(step) ? +step : step)),
      );
      expect(names.map((path) => at(request.body.json, path))).toEqual(remote.map(({ url }) => url));
      const other = 'data:image/png;base64,BBBB';
      const inlined = endpoint.withImages(body, new Map(remote.map(({ url }) => [url, other])));
      expect(shown(inlined)).toEqual(shown(body).map((url) => (url.startsWith('http') ? other : url)));
      expect(endpoint.input(inlined).filter(({ kind }) => kind === 'text')).toEqual(
        endpoint.input(body).filter(({ kind }) => kind === 'text'),
      );
      replaced += remote.length;
    }
    expect(replaced).toBeGreaterThan(10);
  });

  it('has nothing of the phrase left once it is taken out', () => {
    const outcomes = new Set<string>();
    for (const { json } of plantings(examples)) {
      let request;
      try {
        request = endpoint.parse({ json, blobs: [] });
      } catch {
        continue;
      }
      const body = endpoint.forwarded(request, {
        serviceTier: 'default',
        safetyIdentifier: 'visitor',
        cacheKey: 'visitor',
      });
      const redacted = endpoint.redactedInput(body, [{ find: MARK, replace: '"out\\"' }]);
      // What cannot be taken out is refused.
      const left = endpoint.input(redacted).filter((content) => content.kind === 'text');
      expect(textsOf(left).includes(MARK) && !holdsAny(left, [{ find: MARK, replace: '' }])).toBe(false);
      outcomes.add(textsOf(left).includes(MARK) ? 'refused' : 'taken out');
    }
    expect(outcomes).toEqual(new Set(['taken out']));
  });
});

describe.each(
  ENDPOINTS.filter(({ directions }) => directions.output === 'judged').map(
    (endpoint) => [endpoint.name, endpoint] as const,
  ),
)('%s: an answer', (name, endpoint) => {
  const { whole, event } = ANSWERS[name]!;
  const examples = examplesOf(endpoint.declarations.answer);
  const reader = (): AnswerReader => endpoint.reader({ outputs: 2, facts: { includeUsage: true } });
  const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const shownOf = (body: string | Uint8Array): string =>
    typeof body === 'string' ? body : new TextDecoder().decode(body);

  it('shows nothing unjudged, wherever a phrase stands in it, and nothing of it once it is taken out or blocked', () => {
    let judged = 0;
    for (const { path, plant, json } of plantings(examples.map((example) => merged(whole, example)))) {
      const where = JSON.stringify({ path, plant });
      let read;
      try {
        read = reader().whole(bytesOf(json), 'application/json');
      } catch (error) {
        expect({ where, error }).toEqual({ where, error: expect.any(MisshapenAnswer) });
        continue;
      }
      const shown = shownOf(read.shown([])!.body);
      if (!shown.includes('4RK of the contract')) continue;
      judged++;
      expect({ where, judged: textsOf(read.contents).includes(MARK) }).toEqual({ where, judged: true });
      const without = read.shown([{ find: MARK, replace: '[out]' }]);
      expect({ where, left: without && holdsMark(JSON.parse(shownOf(without.body))) }).toEqual({
        where,
        left: false,
      });
      expect({ where, blocked: shownOf(read.blocked().body).includes('4RK of the') }).toEqual({
        where,
        blocked: false,
      });
    }
    expect(judged).toBeGreaterThan(200);
  });

  it('shows nothing unjudged of any event of its stream, nor of its ending', () => {
    let judged = 0;
    for (const { path, plant, json } of plantings(examples.map((example) => merged(event, example)))) {
      const where = JSON.stringify({ path, plant });
      const stream = reader();
      const frames = stream.event({ data: JSON.stringify(json) });
      expect({ where, ending: stream.ending({ kind: 'blocked' }, false, null).includes('4RK of') }).toEqual({
        where,
        ending: false,
      });
      for (const frame of frames) {
        if (!frame.text.includes('4RK of the contract')) continue;
        judged++;
        const texts = new StreamTexts();
        texts.add(frame.texts);
        expect({ where, judged: textsOf(texts.contents()).includes(MARK) }).toEqual({ where, judged: true });
        const without = stream.redacted([frame.text], [{ find: MARK, replace: '[out]' }]);
        expect({ where, left: without?.join('').includes(MARK) ?? false }).toEqual({ where, left: false });
      }
    }
    expect(judged).toBeGreaterThan(200);
  });
});
