import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '#libs/contracts/errors.js';
import { NOT_OFFERED, notOffered } from '../domain/not-offered.js';
import { unservedUrl } from '../refusals.js';
import { VISITOR_ROUTES } from '../visitor.routes.js';
import { describeVisitorsApi } from './openapi.js';

type Json = Record<string, unknown>;
interface Operation {
  operationId: string;
  security?: object[];
  parameters: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { content: Record<string, { schema: object; example: unknown }> };
  responses: Record<string, { description: string; content: Record<string, { schema: object }>; headers: Json }>;
}

const document = describeVisitorsApi(VISITOR_ROUTES) as Json & {
  info: { description: string };
  paths: Record<string, Record<string, Operation>>;
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);
const readerOf = (schema: object): z.ZodType => z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
/** Codes of addresses that no route serves. */
const ELSEWHERE: readonly ErrorCode[] = ['unknown_url', 'endpoint_not_offered', 'websocket_not_supported'];

/** Every object in the document with its place. */
function* objectsIn(value: unknown, place = '#'): Generator<[place: string, value: Json]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [place, value as Json];
  for (const [name, inner] of Object.entries(value)) yield* objectsIn(inner, `${place}/${name}`);
}

/** `npm test` brings it with a validator. */
const PYTHON = existsSync('.venv/bin/python') ? '.venv/bin/python' : 'python3';
const found = spawnSync(PYTHON, ['-c', 'import openapi_spec_validator']).status === 0;
const VALIDATE = 'import json, sys; from openapi_spec_validator import validate; validate(json.load(sys.stdin))';
const validated = (checked: unknown) =>
  spawnSync(PYTHON, ['-c', VALIDATE], { input: JSON.stringify(checked), encoding: 'utf8' });

describe('the description of what visitors can ask for', () => {
  it('is OpenAPI 3.1: its operations, parameters and answers have what they need', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(VISITOR_ROUTES.length);
    for (const { path, method, operation } of operations) {
      const isClaim = path.startsWith('/claim/v1/');
      if (!isClaim) expect(path).toMatch(/^\/v1\//);
      expect(['get', 'post', 'delete']).toContain(method);
      const inPath = operation.parameters.filter((parameter) => parameter.in === 'path');
      expect(inPath.map(({ name, required }) => [name, required])).toEqual(
        [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, true]),
      );
      const places = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      expect(new Set(places).size).toBe(places.length);
      const { status = 200 } = VISITOR_ROUTES.find(({ operationId }) => operationId === operation.operationId)!;
      const statuses = [String(status), isClaim ? (path.includes('/links/') ? '404' : '431') : '401', '500'];
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(statuses));
      expect(operation.security).toEqual(isClaim ? [] : undefined);
      for (const [status, { description }] of Object.entries(operation.responses)) {
        expect(status).toMatch(/^[2-5]\d\d$/);
        expect(description).not.toBe('');
      }
    }
  });

  it('has no reference that leads nowhere', () => {
    let references = 0;
    for (const [place, { $ref }] of objectsIn(document)) {
      if (typeof $ref !== 'string') continue;
      references++;
      const parts = $ref.replace(/^#\//, '').split('/');
      const target = parts.reduce((node: unknown, part) => (node as Json | undefined)?.[part], document);
      expect([place, $ref, target]).toEqual([place, $ref, expect.any(Object)]);
    }
    expect(references).toBeGreaterThan(50);
  });

  (found ? it : it.skip)('is valid, says a validator of OpenAPI where this machine has one', () => {
    expect(validated(document)).toMatchObject({ status: 0, stderr: '' });
    // It finds what is wrong.
    expect(validated({ ...document, paths: { '/v1/key': { get: { responses: {} } } } }).status).not.toBe(0);
  });

  it('shows requests that fit their own schema', () => {
    const bodies = operations.flatMap(({ operation }) => Object.values(operation.requestBody?.content ?? {}));
    expect(bodies.length).toBeGreaterThan(0);
    for (const { schema, example } of bodies) {
      expect(readerOf(schema).safeParse(example)).toMatchObject({ success: true });
      expect(readerOf(schema).safeParse({ ...(example as object), nobodyKnows: 1 }).success).toBe(false);
    }
  });

  it('names every error of the catalogue, and under its status only', () => {
    const named = operations.flatMap(({ operation }) =>
      Object.entries(operation.responses).flatMap(([status, { description }]) =>
        status.startsWith('2')
          ? []
          : [...description.matchAll(/`(\w+)`/g)].map(([, code]) => ({ code: code!, status })),
      ),
    );
    for (const { code, status } of named) expect(ERRORS[code as ErrorCode].status).toBe(Number(status));
    const codes = new Set(named.map(({ code }) => code));
    const silent = Object.keys(ERRORS).filter((code) => !codes.has(code));
    expect(silent.toSorted()).toEqual([...ELSEWHERE].toSorted());
  });

  it('names no route among what is not offered', () => {
    for (const { method, path } of VISITOR_ROUTES) expect([path, notOffered(method, path)]).toEqual([path, null]);
  });

  it('tells what is not offered, with the words of the refusal', () => {
    for (const { paths, why, instead } of NOT_OFFERED) {
      expect(document.info.description).toContain(`| ${why}`);
      const [method, path] = paths[0]!.startsWith('/')
        ? ['POST', paths[0]!]
        : (paths[0]!.split(' ') as [string, string]);
      expect(unservedUrl(method, path, path).message).toContain(`${why} ${instead}`);
    }
    for (const code of ELSEWHERE.slice(1)) expect(document.info.description).toContain(`\`${code}\``);
  });

  it('is not larger than a page should be', () => {
    expect(JSON.stringify(document).length).toBeLessThan(1_048_576);
  });
});
