import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from '#libs/config/config.js';
import { keepComposeSecrets } from './compose-secrets.js';

describe('the secrets of docker compose', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'daypass-secrets-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const read = (path: string): string => readFileSync(join(folder, path), 'utf8').trim();
  const all = (): string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => statSync(join(folder, path)).isFile())
      .toSorted();
  const ofAccounting = (): NodeJS.ProcessEnv => ({
    DAYPASS_SECRET_FILE: join(folder, 'services/DAYPASS_SECRET'),
    REDIS_URL_FILE: join(folder, 'services/REDIS_URL'),
    DATABASE_URL_FILE: join(folder, 'accounting/DATABASE_URL'),
    DAYPASS_ADMIN_TOKEN_FILE: join(folder, 'accounting/DAYPASS_ADMIN_TOKEN'),
  });

  it('are made once, each in the folder of those who need it, and nobody else reads or writes them', () => {
    expect(Object.values(keepComposeSecrets(folder, {}))).toEqual(['made', 'made', 'made', 'made']);
    expect(all()).toEqual([
      'accounting/DATABASE_URL',
      'accounting/DAYPASS_ADMIN_TOKEN',
      'postgres/DAYPASS_POSTGRES_PASSWORD',
      'redis/DAYPASS_REDIS_PASSWORD',
      'services/DAYPASS_SECRET',
      'services/REDIS_URL',
    ]);
    for (const path of all()) expect(statSync(join(folder, path)).mode & 0o777).toBe(0o440);
    const before = all().map(read);
    expect(new Set(before).size).toBe(before.length);
    expect(Object.values(keepComposeSecrets(folder, { DAYPASS_SECRET: ' ' }))).toEqual(Array(4).fill('kept'));
    expect(all().map(read)).toEqual(before);
  });

  it('are what accounting starts with, and what the stores take', () => {
    keepComposeSecrets(folder, {});
    const config = loadConfig('accounting', ofAccounting());
    expect(config.adminToken).toBe(read('accounting/DAYPASS_ADMIN_TOKEN'));
    expect(new URL(config.redisUrl).password).toBe(read('redis/DAYPASS_REDIS_PASSWORD'));
    expect(new URL(config.databaseUrl).password).toBe(read('postgres/DAYPASS_POSTGRES_PASSWORD'));
  });

  it('of .env win, and stay when .env is lost', () => {
    keepComposeSecrets(folder, {});
    const token = read('accounting/DAYPASS_ADMIN_TOKEN');
    const given = { DAYPASS_SECRET: 's'.repeat(32), DAYPASS_REDIS_PASSWORD: 'of-env' };
    expect(keepComposeSecrets(folder, given)).toMatchObject({
      DAYPASS_SECRET: 'as .env says',
      DAYPASS_ADMIN_TOKEN: 'kept',
    });
    expect(Object.values(keepComposeSecrets(folder, {}))).toEqual(Array(4).fill('kept'));
    expect(read('services/DAYPASS_SECRET')).toBe(given.DAYPASS_SECRET);
    expect(read('services/REDIS_URL')).toBe('redis://:of-env@redis:6379');
    expect(read('accounting/DAYPASS_ADMIN_TOKEN')).toBe(token);
  });

  it('that nobody can read stop the start, and are not made anew', () => {
    keepComposeSecrets(folder, {});
    const path = join(folder, 'services/DAYPASS_SECRET');
    rmSync(path);
    mkdirSync(path);
    expect(() => keepComposeSecrets(folder, {})).toThrow(/EISDIR/);
  });
});
