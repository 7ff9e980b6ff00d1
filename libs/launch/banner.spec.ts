import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, type NetworkInterfaceInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { bannerOf, type BannerFacts } from './banner.js';
import { lanAddressOf } from './lan-address.js';
import { readSettings } from './settings.js';

const FACTS: BannerFacts = {
  settings: readSettings({}),
  lanAddress: undefined,
  demo: {
    id: 'key_1',
    key: 'dp_demo',
    claimPath: '/c/demo',
    signInUrl: 'http://localhost:8081/console/login#code=once',
  },
  adminTokenFile: undefined,
  books: undefined,
  startedInMs: 1_000,
};
const at = (address: string, internal = false, family: 'IPv4' | 'IPv6' = 'IPv4'): NetworkInterfaceInfo =>
  ({ address, internal, family }) as NetworkInterfaceInfo;
const INTERFACES = {
  lo: [at('127.0.0.1', true), at('::1', true, 'IPv6')],
  eth0: [at('fe80::1', false, 'IPv6'), at('192.168.1.20')],
};

describe('what a start prints', () => {
  it('has the address in the network beside localhost, where others reach the port', () => {
    expect(lanAddressOf('0.0.0.0', INTERFACES)).toBe('192.168.1.20');
    expect(lanAddressOf('::', INTERFACES)).toBe('192.168.1.20');
    expect(lanAddressOf('127.0.0.1', INTERFACES)).toBeUndefined();
    expect(lanAddressOf('0.0.0.0', { lo: INTERFACES.lo })).toBeUndefined();
    expect(bannerOf({ ...FACTS, lanAddress: '192.168.1.20' })).toContain(
      'http://192.168.1.20:8080/v1 from this network',
    );
    expect(bannerOf(FACTS)).not.toContain('from this network');
  });

  it('has the claim page for this machine and for the network, and a link that signs in to the console', () => {
    const text = bannerOf({ ...FACTS, lanAddress: '192.168.1.20' });
    const words = text.split(/\s+/);
    for (const url of [
      'http://localhost:8080/c/demo',
      'http://192.168.1.20:8080/c/demo',
      'http://localhost:8081/console',
      'http://localhost:8081/console/login#code=once',
    ])
      expect(words).toContain(url);
    expect(bannerOf(FACTS)).not.toContain(':8080/c/demo from this network');
    expect(text).toContain('npm run daypass -- --help');
  });

  it('has a line that reads the books, without the password in it, whatever its path looks like', () => {
    const folder = mkdtempSync(join(tmpdir(), "daypass it's "));
    try {
      const passwordFile = join(folder, 'auditor-password');
      writeFileSync(passwordFile, 'not to be shown\n');
      writeFileSync(join(folder, 'psql'), '#!/bin/sh\necho "$PGPASSWORD" "$@"\n', { mode: 0o755 });
      const url = 'postgres://daypass:secret@127.0.0.1:20123/daypass';
      const text = bannerOf({ ...FACTS, books: { url, passwordFile } });
      expect(text).not.toMatch(/not to be shown|secret/);
      const line = text.split('\n').find((one) => one.startsWith('PGPASSWORD='))!;
      const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
      expect(execFileSync('bash', ['-c', line], { encoding: 'utf8', env })).toBe(
        'not to be shown -h 127.0.0.1 -p 20123 -U auditor -d daypass -c SELECT * FROM ledger.statement_by_campaign\n',
      );
      expect(bannerOf(FACTS)).not.toContain('psql');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
