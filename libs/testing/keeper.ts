import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort } from '#libs/launch/free-port.js';
import { launchDaypass, type LaunchedDaypass, type LaunchOptions } from './launched-daypass.js';
import { startTestPostgres, startTestRedis } from './stores.js';

/** The environment variable with the keeper's address. */
export const KEEPER_VARIABLE = 'DAYPASS_TEST_KEEPER';

interface Stoppable {
  stop(): Promise<void>;
}

/** What the keeper lends to one worker of the test runner, by name. It starts each part at its first use. */
type Shelf = Map<string, Promise<Stoppable>>;

/**
 * Starts stores and services once for each worker of the test runner, and lends them to one test file after the other.
 * It runs in the test runner's process, answers over loopback, and ends all that it started.
 */
export class Keeper {
  private readonly shelves = new Map<string, Shelf>();
  private readonly server: Server;

  private constructor() {
    this.server = createServer(
      (request, response) => void this.answer(new URL(request.url!, 'http://keeper'), response),
    );
  }

  static async start(): Promise<Keeper> {
    const keeper = new Keeper();
    await new Promise<void>((resolve) => keeper.server.listen(0, '127.0.0.1', resolve));
    return keeper;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    const lent = [...this.shelves.values()].flatMap((shelf) => [...shelf.values()]);
    await Promise.all(lent.map(async (one) => (await one.catch(() => undefined))?.stop()));
  }

  private async answer({ pathname, searchParams }: URL, response: ServerResponse): Promise<void> {
    try {
      const worker = searchParams.get('worker') ?? '';
      const shelf: Shelf = this.shelves.get(worker) ?? new Map();
      this.shelves.set(worker, shelf);
      const lent = JSON.stringify(await lend(shelf, pathname));
      // The server may close an idle connection just when the next test file asks.
      response.writeHead(200, { connection: 'close' }).end(lent);
    } catch (error) {
      response.writeHead(500).end(error instanceof Error ? error.stack : String(error));
    }
  }
}

async function lend(shelf: Shelf, what: string): Promise<object> {
  switch (what) {
    case '/redis':
      return { url: (await once(shelf, 'redis', startTestRedis)).redisUrl };
    case '/postgres':
      return { url: (await once(shelf, 'postgres', startTestPostgres)).databaseUrl };
    case '/daypass/hurried':
      return (await once(shelf, 'daypass, hurried', launchHurried)).access;
    case '/daypass/attacked':
      return (await once(shelf, 'daypass, attacked', launchAttacked)).access;
    default:
      throw new Error(`the keeper has no ${what}`);
  }
}

/** A part that did not start is started again for the next test file. */
async function once<Part extends Stoppable>(shelf: Shelf, name: string, start: () => Promise<Part>): Promise<Part> {
  const part = (shelf.get(name) ?? start()) as Promise<Part>;
  shelf.set(name, part);
  part.catch(() => shelf.delete(name));
  return part;
}

const launchHurried = (): Promise<LaunchedDaypass> => launchShared({ env: { DAYPASS_REQUEST_TIMEOUT_MS: '3000' } });

async function launchAttacked(): Promise<LaunchedDaypass> {
  return launchShared({
    env: { DAYPASS_PROXY_HOPS: '1', DAYPASS_IMAGE_HOSTS_ALLOWED: `127.0.0.1:${await freePort()}` },
    config: { guards: [{ name: 'pii', type: 'personal_data', always: false }] },
  });
}

/** Every test file runs its own upstream on this one port. */
async function launchShared(options: Pick<LaunchOptions, 'env' | 'config'>): Promise<LaunchedDaypass> {
  return launchDaypass({ ...options, upstreamPort: await freePort() });
}
