import { afterEach, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';
import { startTestStores, type TestStores } from './stores.js';

describe('the stores of a test', () => {
  let stores: TestStores | undefined;
  afterEach(async () => {
    await stores?.stop();
    stores = undefined;
  });

  it('are empty, refuse to evict, and are gone after stop', async () => {
    const startedAt = Date.now();
    stores = await startTestStores();
    expect(Date.now() - startedAt).toBeLessThan(15_000);
    const redis = new Redis(stores.redisUrl);
    expect(await redis.dbsize()).toBe(0);
    expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
    redis.disconnect();
    const postgres = new Client({ connectionString: stores.databaseUrl });
    await postgres.connect();
    const tables = await postgres.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'");
    expect(tables.rowCount).toBe(0);
    await postgres.end();

    const ports = [stores.redisUrl, stores.databaseUrl].map((url) => new URL(url).port);
    await stores.stop();
    for (const port of ports) expect(processesWith(port)).toEqual([]);
  });

  it('end when the process that started them is killed', async () => {
    const script = `
      const { startTestStores } = await import(${JSON.stringify(join(PROJECT_ROOT, 'dist/libs/testing/stores.js'))});
      const stores = await startTestStores();
      process.stdout.write(JSON.stringify([stores.redisUrl, stores.databaseUrl]));
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [urls] = (await once(owner.stdout, 'data')) as [Buffer];
    const ports = (JSON.parse(urls.toString()) as string[]).map((url) => new URL(url).port);
    for (const port of ports) expect(processesWith(port)).not.toEqual([]);
    owner.kill('SIGKILL');
    for (let waitedMs = 0; waitedMs < 10_000 && ports.some((port) => processesWith(port).length > 0); waitedMs += 100)
      await sleep(100);
    for (const port of ports) expect(processesWith(port)).toEqual([]);
  });
});

function processesWith(port: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(port) && /redis|valkey|postgres/.test(line));
}
