import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { CORS_HEADERS } from '../domain/answer-headers.js';

describe('a page', () => {
  it('may read every header that docs/visitors.md names', () => {
    const page = readFileSync('docs/visitors.md', 'utf8');
    const table = page.slice(page.indexOf('Headers of a chat answer:'), page.indexOf('Every answer of Daypass has'));
    const rows = table.split('\n').filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    const limits = ['limit', 'remaining', 'reset'].flatMap((what) =>
      ['requests', 'tokens'].map((of) => `x-ratelimit-${what}-${of}`),
    );
    const all = named.flatMap((name) => (name.startsWith('x-ratelimit-') ? limits : name));
    expect(named.length).toBeGreaterThan(10);
    expect(CORS_HEADERS['access-control-expose-headers']!.split(', ').sort()).toEqual(all.sort());
  });
});
