import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { loadConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';
import { startTestStores } from './stores.js';

export const ADMIN_TOKEN = 'sixteen-letters-or-more';

interface App {
  listen(port: number, host: string): Promise<unknown>;
  close(): Promise<void>;
  getUrl(): Promise<string>;
}

/** The accounting service within the bench's own process, on stores as in production (append-only file, fsync). */
export async function startAccounting() {
  const stores = await startTestStores({ durable: true });
  const config = loadConfig('accounting', {
    OPENAI_API_KEY: 'none',
    REDIS_URL: stores.redisUrl,
    DATABASE_URL: stores.databaseUrl,
    DAYPASS_SECRET: 'a secret that is long enough for it',
    DAYPASS_ADMIN_TOKEN: ADMIN_TOKEN,
    DAYPASS_ADMIN_PORT: '0',
    DAYPASS_LOG_LEVEL: 'silent',
  });
  const { createAccountingApp } = (await import(join(PROJECT_ROOT, 'dist/apps/accounting/accounting.app.js'))) as {
    createAccountingApp: (...args: unknown[]) => Promise<App>;
  };
  const launch = async (): Promise<App> => {
    const app = await createAccountingApp(config, createLogger('accounting', 'silent'), createRegistry('accounting'));
    await app.listen(0, '127.0.0.1');
    return app;
  };
  return { stores, config, launch };
}

export const tell = (what: string, figure: string): void => void process.stdout.write(`${what.padEnd(62)} ${figure}\n`);
export const requestId = (): string =>
  `req_${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;
