import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { DaypassError } from '#libs/contracts/errors.js';
import { compile } from './compile.js';
import { at, examplesOf, placesOf, placesOnce, planted } from './contract.fixture.js';
import * as d from './declaration.js';
import type { Shape } from './declaration.js';
import { jsonSchemaOf } from './json.schema.js';
import { isObject } from './json.js';
import { ENDPOINTS } from './registry.js';

const readerOf = (shape: Shape, side: 'request' | 'answer'): z.ZodType =>
  z.fromJSONSchema(jsonSchemaOf(shape, side) as Parameters<typeof z.fromJSONSchema>[0]);
const lets = (shape: Shape, value: unknown): boolean => {
  try {
    compile(shape).parse(value, '', { adjusted: new Set(), ours: new Map() });
    return true;
  } catch (error) {
    if (error instanceof DaypassError) return false;
    throw error;
  }
};

/** Of small APIs, which have few fields: what is taken and refused of the plantings, at least. */
const LEAST: Record<string, { taken: number; refused: number }> = {
  'audio.translations': { taken: 3, refused: 33 },
  'audio.speech': { taken: 4, refused: 44 },
};

describe.each(ENDPOINTS.map((endpoint) => [endpoint.name, endpoint.declarations] as const))(
  'the JSON Schema of %s',
  (name, { request, answer }) => {
    it('takes every example of a request, and of an answer', () => {
      for (const [shape, side] of [
        [request, 'request'],
        [answer, 'answer'],
      ] as const) {
        const schema = readerOf(shape, side);
        const examples = examplesOf(shape);
        expect(examples.length).toBeGreaterThan(2);
        for (const example of examples) expect([example, schema.safeParse(example).success]).toEqual([example, true]);
      }
    });

    it('takes an answer with a null in each place, and with a field that nobody knows', () => {
      const schema = readerOf(answer, 'answer');
      for (const example of examplesOf(answer)) {
        for (const path of placesOf(example).filter(({ length }) => length > 0)) {
          const value = planted(example, path, null);
          expect([value, schema.safeParse(value).success]).toEqual([value, true]);
        }
        expect(schema.safeParse({ ...(example as object), nobodyKnows: [1] }).success).toBe(true);
      }
    });

    it('refuses what the declaration refuses, wherever it stands in a request', () => {
      const schema = readerOf(request, 'request');
      const outcomes = { taken: 0, refused: 0 };
      for (const { example, path } of placesOnce(examplesOf(request))) {
        const value = at(example, path);
        const plants = isObject(value)
          ? [{ ...value, nobodyKnows: 1 }, [], 'text', 0.5]
          : [{ nobody: 1 }, 'a b', true, 1e300];
        for (const plant of plants) {
          const json = planted(example, path, plant);
          const isTaken = lets(request, json);
          outcomes[isTaken ? 'taken' : 'refused']++;
          if (schema.safeParse(json).success !== isTaken)
            throw new Error(`${isTaken ? 'takes' : 'refuses'} ${JSON.stringify(json)}`);
        }
      }
      const least = LEAST[name] ?? { taken: 4, refused: 51 };
      expect(outcomes.taken).toBeGreaterThanOrEqual(least.taken);
      expect(outcomes.refused).toBeGreaterThanOrEqual(least.refused);
    });
  },
);

describe('a JSON Schema', () => {
  it('says all that a declaration says', () => {
    const shape = d.object(
      {
        kind: d.variants('type', { a: d.object({ type: d.word('a'), n: d.whole(1, 5) }, 'n'), b: d.object({}) }),
        bias: d.map(/^\d+$/, d.number(-1, 1), 3),
        cap: d.ours(d.whole(1)),
        many: d.list(d.either(d.text, d.flag), 4, 1),
        sound: d.unpriceable('audio'),
        tier: d.pricedWord('the tier', 'x'),
        extra: d.harmless,
        call: d.encoded,
        id: d.name(d.ID, { orText: true }),
        short: d.textUpTo(8),
        sealed: d.opaque,
        drawn: d.bareImage,
        shell: d.refused('Run it yourself.'),
        background: d.refused('Wait for the answer.', { butFalse: true }),
        tools: d.list(d.variants('type', { paint: d.harmless, mcp: d.refused('Call it yourself.') }), 9),
        item: d.variants('type', { a: d.object({}) }, null, d.object({ type: d.word('a'), said: d.text }, 'said')),
      },
      'kind',
    );
    expect(jsonSchemaOf(shape, 'request')).toEqual({
      type: 'object',
      required: ['kind'],
      additionalProperties: false,
      properties: {
        kind: {
          oneOf: [
            {
              title: 'a',
              type: 'object',
              properties: { type: { const: 'a' }, n: { type: 'integer', minimum: 1, maximum: 5 } },
              required: ['type', 'n'],
              additionalProperties: false,
            },
            {
              title: 'b',
              type: 'object',
              properties: { type: { const: 'b' } },
              required: ['type'],
              additionalProperties: false,
            },
          ],
        },
        bias: {
          type: 'object',
          propertyNames: { pattern: '^\\d+$' },
          additionalProperties: { type: 'number', minimum: -1, maximum: 1 },
          maxProperties: 3,
        },
        cap: { type: 'integer', minimum: 1, description: expect.stringContaining('Daypass decides') },
        many: { type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'boolean' }] }, minItems: 1, maxItems: 4 },
        sound: { not: {}, description: 'The cost of audio has no bound: leave it out' },
        tier: { type: 'string', enum: ['x'], description: expect.stringContaining('the tier') },
        extra: { description: expect.stringContaining('leaves it out') },
        call: { type: 'string', description: 'JSON in a string' },
        id: { type: 'string' },
        short: { type: 'string', maxLength: 8 },
        sealed: {
          type: 'string',
          pattern: '^[A-Za-z0-9+/_=.-]*$',
          maxLength: 16_777_216,
          description: expect.stringContaining('only its provider'),
        },
        drawn: {
          type: 'string',
          pattern: expect.stringContaining('iVBORw0KGgo|'),
          description: 'the base64 of a png, jpeg, gif or webp image',
        },
        shell: { not: {}, description: 'Run it yourself.' },
        background: { const: false, description: 'Wait for the answer.' },
        tools: {
          type: 'array',
          maxItems: 9,
          items: {
            oneOf: [
              {
                title: 'paint',
                type: 'object',
                properties: { type: { const: 'paint' } },
                required: ['type'],
                description: 'Without effect here: Daypass leaves it out',
              },
              { title: 'mcp', not: {}, description: 'Call it yourself.' },
            ],
          },
        },
        item: {
          oneOf: [
            expect.objectContaining({ title: 'a', properties: { type: { const: 'a' } }, required: ['type'] }),
            {
              title: 'without type',
              type: 'object',
              properties: { said: { type: 'string' } },
              required: ['said'],
              additionalProperties: false,
            },
          ],
        },
      },
    });
  });

  it.each([
    [d.image, 'HTTPS://example.org/a.png', true],
    [d.image, 'Data:Image/JPG;Base64,AAAA', true],
    [d.image, 'ftp://example.org/a.png', false],
    [d.image, 'data:image/svg+xml;base64,AAAA', false],
    [d.bareImage, '/9j/4AAQ', true],
    [d.bareImage, 'AAAA', false],
    [d.opaque, 'gAAAA_-.', true],
    [d.opaque, 'g AAAA', false],
    [d.textUpTo(2), 'ab', true],
    [d.textUpTo(2), 'abc', false],
  ])('of %j takes %j: %j', (shape, value, isTaken) => {
    expect([lets(shape, value), readerOf(shape, 'request').safeParse(value).success]).toEqual([isTaken, isTaken]);
  });

  it('of an answer takes what no variant declares', () => {
    const schema = readerOf(d.variants('type', { a: d.object({ n: d.flag }) }), 'answer');
    for (const value of [{ type: 'b', n: 1 }, { n: 2 }, { type: null }])
      expect(schema.safeParse(value).success).toBe(true);
    expect(schema.safeParse('text').success).toBe(false);
  });
});
