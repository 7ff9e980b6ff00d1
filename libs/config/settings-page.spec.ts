import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { configFileSchema } from './config-file.js';
import { markdownTable } from './markdown-table.js';
import {
  configFile,
  environment,
  EXAMPLE,
  OUTSIDE,
  outsideNames,
  settingsPage,
  type Described,
} from './settings-page.js';

const read = (...path: string[]): string => readFileSync(join(process.cwd(), ...path), 'utf8');
const COMPOSE = read('docker-compose.yml');
const fields = Object.assign({}, ...environment().map(({ schema }) => schema.properties)) as Record<string, Described>;

/** Paths of fields without a description, at any depth. */
function silent({ properties = {}, items, additionalProperties, oneOf = [] }: Described, path: string): string[] {
  const own = Object.entries(properties).flatMap(([name, field]) => [
    ...(field.description || field.const !== undefined ? [] : [`${path}.${name}`]),
    ...silent(field, `${path}.${name}`),
  ]);
  const within = [items, typeof additionalProperties === 'object' ? additionalProperties : undefined, ...oneOf].filter(
    (one) => one !== undefined,
  );
  return [...own, ...within.flatMap((one) => silent(one, path))];
}

describe('docs/settings.md', () => {
  it('is what `npm run docs:settings` writes', () => expect(read('docs', 'settings.md')).toBe(settingsPage(COMPOSE)));

  it('describes every variable and every field of the config file', () => {
    expect(environment().flatMap(({ schema }) => silent(schema, 'environment'))).toEqual([]);
    expect(silent(configFile(), 'file')).toEqual([]);
    expect(OUTSIDE.flatMap(({ variables }) => variables).filter(({ description }) => description === '')).toEqual([]);
  });

  it('finds a field without a description at any depth', () => {
    const field = { description: 'text' };
    const schema: Described = {
      properties: {
        a: field,
        b: { ...field, items: { properties: { c: {}, d: { const: 1 } } } },
        e: { oneOf: [{ properties: { f: {} } }] },
      },
    };
    expect(silent(schema, 'x')).toEqual(['x.b.c', 'x.e', 'x.e.f']);
  });

  it('has a row for every variable and every field', () => {
    const page = settingsPage(COMPOSE);
    const named = [
      ...Object.keys(fields),
      ...outsideNames(),
      'elsewhere_only',
      'keyless',
      'max_output_tokens',
      'webhook.secret',
      'country',
      'options',
    ];
    expect(named.filter((name) => !page.includes(`\n| \`${name}\` `))).toEqual([]);
  });

  it('has every variable of .env.example and docker-compose.yml', () => {
    const existing = new Set([...Object.keys(fields), ...outsideNames()]);
    const named = `${read('.env.example')}\n${COMPOSE}`.match(/\b(DAYPASS|OPENAI|OTEL)_[A-Z0-9_]+\b/g) ?? [];
    expect(named.length).toBeGreaterThan(50);
    expect([...new Set(named)].filter((name) => !existing.has(name))).toEqual([]);
  });

  it('has the defaults of docker-compose.yml', () => {
    // Compose has a balancer before ingress.
    const OWN_DEFAULTS: Record<string, string> = { DAYPASS_PROXY_HOPS: '1', DAYPASS_LINGER_MS: '3000' };
    const fallbacks = new Map(
      OUTSIDE.flatMap(({ variables }) => variables).map(({ name, fallback }) => [name, fallback]),
    );
    // A default that is another variable is no value.
    const ofCompose = [...COMPOSE.matchAll(/\$\{([A-Z_]+):-([^}$]*)\}/g)].map(
      ([, name, value]) => [name!, value === '/dev/null' ? '' : value!] as const,
    );
    const onPage = ofCompose.map(([name]) => {
      const value = OWN_DEFAULTS[name] ?? fallbacks.get(name) ?? fields[name]?.default;
      return [name, typeof value === 'string' || typeof value === 'number' ? String(value) : ''];
    });
    expect(ofCompose.length).toBeGreaterThan(20);
    expect(onPage).toEqual(ofCompose);
  });

  it('shows a config file that Daypass takes, with every part of it', () => {
    const file = configFileSchema.parse(parse(EXAMPLE));
    expect(Object.keys(configFile().properties!).toSorted()).toEqual(Object.keys(parse(EXAMPLE) as object).toSorted());
    expect(file.guards.map(({ type }) => type)).toEqual(
      configFile().properties!.guards!.items!.oneOf!.map(({ properties }) => properties!.type!.const),
    );
    expect(file.guards[1]).toMatchObject({ patterns: ['(?i)ticket-\\d{4}'] });
  });
});

describe('docs/pacing.md', () => {
  it('shows config files that Daypass takes', () => {
    const examples = [...read('docs', 'pacing.md').matchAll(/```yaml\n([^]*?)```/g)].map(([, yaml]) =>
      configFileSchema.safeParse(parse(yaml!)),
    );
    expect(examples.map(({ success, error }) => [success, error?.message])).toEqual([
      [true, undefined],
      [true, undefined],
      [true, undefined],
    ]);
  });
});

describe('a Markdown table', () => {
  it('is as prettier formats it', () => {
    expect(markdownTable(['a', ''], [['twelve × 3', 'x'], ['y']])).toBe(
      '| a          |     |\n| ---------- | --- |\n| twelve × 3 | x   |\n| y          |     |',
    );
  });
});
