import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPeers } from './peers.ts';

describe('the list of peers', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'daypass-peers-'));
    file = join(folder, 'peers.json');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is read with its defaults', () => {
    writeFileSync(file, JSON.stringify([{ name: 'A', command: 'a --port $BENCH_PORT' }]));
    expect(readPeers(file)).toEqual([
      {
        name: 'A',
        command: 'a --port $BENCH_PORT',
        path: '/v1',
        token: 'sk-bench',
        model: 'gpt-5.4-mini',
        headers: {},
      },
    ]);
  });

  it('has an example that is read', () =>
    expect(readPeers(join(import.meta.dirname, 'peers/litellm.json'))).toHaveLength(1));

  it.each([
    ['a command', [{ name: 'A' }], 'command'],
    ['a known field', [{ name: 'A', command: 'a', url: 'http://x' }], 'url'],
    ['a path that begins with a slash', [{ name: 'A', command: 'a', path: 'v1' }], 'path'],
  ])('needs %s, and says so', (_, peers, named) => {
    writeFileSync(file, JSON.stringify(peers));
    expect(() => readPeers(file)).toThrow(named);
    expect(() => readPeers(file)).toThrow('is no list of peers');
  });
});
