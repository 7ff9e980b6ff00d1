import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;
const ATTEMPTS = 50;
/** So long a found port stays reserved. Tests leave it unused for less between two servers. */
const RESERVED_MS = 600_000;

/**
 * A TCP port of 127.0.0.1 that nothing listens on right now. It lies below the range of outgoing connections: a client
 * may take a port of that range a moment later. @throws when 50 guesses were all taken
 */
export async function freePort(): Promise<number> {
  return freePortBase(1);
}

/** @returns whether a server can listen on this port of this host */
export async function isPortFree(port: number, host: string): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** The first of `count` free ports in a row. @throws when 50 guesses were all taken */
export async function freePortBase(count: number): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const base = randomInt(FIRST_PORT, LAST_PORT - count);
    const free = await Promise.all(
      Array.from(
        { length: count },
        async (_, offset) => (await isPortFree(base + offset, '127.0.0.1')) && (await reserve(base + offset)),
      ),
    );
    if (free.every(Boolean)) return base;
  }
  throw new Error(`found no ${count} free ports in a row between ${FIRST_PORT} and ${LAST_PORT}`);
}

/**
 * Between the search and the moment when a server listens, another process may find the same port. An abstract socket
 * (Linux) with its number reserves it on this machine, and disappears with its owner.
 */
async function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const mark = createServer();
  return new Promise((resolve) => {
    mark.once('error', () => resolve(false));
    mark.listen(`\0daypass-port-${port}`, () => {
      mark.unref();
      setTimeout(() => mark.close(), RESERVED_MS).unref();
      resolve(true);
    });
  });
}
