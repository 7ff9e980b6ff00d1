import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { AccountingFixture } from '../accounting.fixture.js';
import { schemaOf } from './openapi.js';

type Json = Record<string, unknown>;
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

let accounting: AccountingFixture;
let document: Json & { paths: Record<string, Record<string, Json>>; components: Record<string, Json> };
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  document = (await accounting.admin('GET', '/admin/docs-json')).body;
});
afterAll(() => accounting.stop());

/** Every object in the document with its place. */
function* objectsIn(value: unknown, place = '#'): Generator<[place: string, value: Json]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [place, value as Json];
  for (const [name, inner] of Object.entries(value)) yield* objectsIn(inner, `${place}/${name}`);
}

const operations = (): [string, Json][] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Json] => [`${method} ${path}`, operation]),
  );

describe("the admin API's description", () => {
  it('has no reference that leads nowhere', () => {
    for (const [place, { $ref }] of objectsIn(document)) {
      if (typeof $ref !== 'string') continue;
      const target = $ref
        .replace(/^#\//, '')
        .split('/')
        .reduce((node: unknown, part) => (node as Json | undefined)?.[part], document);
      expect([place, $ref, target]).toEqual([place, $ref, expect.any(Object)]);
    }
  });

  it('refuses a schema that contains itself, before its reference leads nowhere', () => {
    expect(() => schemaOf(z.strictObject({ claim: z.record(z.string(), z.json()) }))).toThrow(/[Cc]ycle/);
  });

  it('is OpenAPI 3.0: its operations, parameters, bodies and answers have what they need', () => {
    expect(document.openapi).toMatch(/^3\.0\.\d$/);
    expect(document.info).toEqual(expect.objectContaining({ title: expect.any(String), version: expect.any(String) }));
    expect(Object.keys(document.paths)).not.toEqual([]);
    for (const [path, methods] of Object.entries(document.paths)) {
      expect(path).toMatch(/^\//);
      expect(Object.keys(methods).filter((method) => !METHODS.includes(method))).toEqual([]);
    }
    const names = operations().map(([, { operationId }]) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const [name, operation] of operations()) {
      const parameters = operation.parameters as Json[];
      const places = parameters.map((parameter) => `${String(parameter.in)} ${String(parameter.name)}`);
      expect([name, new Set(places).size]).toEqual([name, places.length]);
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, part]) => part);
      const declared = parameters.filter((parameter) => parameter.in === 'path');
      expect([name, declared.map((parameter) => parameter.name)]).toEqual([name, inPath]);
      for (const parameter of parameters) {
        expect(['query', 'header', 'path']).toContain(parameter.in);
        expect(parameter.schema).toEqual(expect.any(Object));
        if (parameter.in === 'path') expect(parameter.required).toBe(true);
      }
      for (const [status, answer] of Object.entries(operation.responses as Record<string, Json>)) {
        expect(status).toMatch(/^[1-5]\d\d$/);
        expect(answer.description).toEqual(expect.any(String));
      }
      expect(Object.keys(operation.responses as Json).some((status) => status.startsWith('2'))).toBe(true);
      if ('requestBody' in operation)
        expect((operation.requestBody as Json).content).toMatchObject({
          'application/json': { schema: { type: 'object' } },
        });
    }
  });

  it('says who may ask, and what each asker gets wrong', () => {
    const { post, get, delete: end } = document.paths['/admin/v1/session'] as Record<string, Json>;
    expect(post!.security).toBeUndefined();
    const [cookie] = Object.keys((get!.security as Json[])[0]!);
    expect([get!.security, end!.security]).toEqual([[{ [cookie!]: [] }], [{ [cookie!]: [] }]]);
    expect((document.components.securitySchemes as Json)[cookie!]).toMatchObject({
      type: 'apiKey',
      in: 'cookie',
      name: expect.stringMatching(/^daypass_console_\d+$/),
    });
    for (const [name, { security, parameters, responses }] of operations()) {
      if (!name.endsWith('/admin/v1/session')) expect([name, security]).toEqual([name, [{ bearer: [] }]]);
      // Each header that a request names can be wrong.
      if ((parameters as Json[]).some((parameter) => parameter.name === 'idempotency-key'))
        expect([name, Object.keys(responses as Json)]).toEqual([name, expect.arrayContaining(['400', '409'])]);
    }
  });

  it('names for each bulk act the fields that it needs, and those that it refuses', () => {
    interface Shape {
      properties: { action: { enum: string[] } };
      required: string[];
      not: { anyOf: { required: string[] }[] };
    }
    const { content } = document.paths['/admin/v1/keys/bulk']!.post!.requestBody as {
      content: Record<string, { schema: { oneOf: Shape[] } }>;
    };
    const shapes = content['application/json']!.schema.oneOf.map(({ properties, required, not }) => [
      properties.action.enum[0],
      required.slice(1),
      not.anyOf.flatMap((refused) => refused.required),
    ]);
    expect(shapes).toHaveLength(10);
    expect(shapes).toContainEqual(['extend', ['ids', 'ttl_seconds'], ['filter', 'amount_usd']]);
    expect(shapes).toContainEqual(['fund', ['filter', 'amount_usd'], ['ids', 'ttl_seconds']]);
    expect(shapes).toContainEqual(['revoke', ['ids'], ['filter', 'ttl_seconds', 'amount_usd']]);
  });

  it('uses no word in its schemas that OpenAPI 3.0 does not know', () => {
    const unknown = [
      '$schema',
      '$defs',
      'definitions',
      'const',
      'propertyNames',
      'patternProperties',
      'examples',
      'if',
    ];
    const schemas = operations().flatMap(([name, operation]) => [...objectsIn(operation, name)]);
    // A property of ours may have such a name.
    const worded = schemas.filter(([place]) => !place.endsWith('/properties'));
    expect(worded.filter(([, schema]) => unknown.some((word) => word in schema)).map(([place]) => place)).toEqual([]);
    for (const [place, schema] of schemas)
      if ('type' in schema && place.includes('schema'))
        expect([place, typeof schema.type]).not.toEqual([place, 'undefined']);
    expect(document.paths['/admin/v1/campaigns']!.post).toMatchObject({
      requestBody: {
        content: {
          'application/json': {
            schema: {
              properties: {
                moderation: { properties: { thresholds: { properties: { 'sexual/minors': { maximum: 1 } } } } },
              },
            },
          },
        },
      },
    });
  });
});
