import type { INestApplication, INestApplicationContext } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from './logger.js';
import type { OpsServer } from './ops-server.js';
import { stopTracing } from './tracing.js';

export interface RunningService {
  app: INestApplicationContext;
  ops: OpsServer;
  logger: Logger;
  shutdownDeadlineMs: number;
  /** For so long it still takes calls, though it says that it is not ready. */
  lingerMs?: number;
}

/** Opens the port of the calls, and only then the one that says ready: whoever hears that sends calls. */
export async function listenReady(
  app: Pick<INestApplication, 'listen'>,
  { port, host }: { port: number; host: string },
  ops: Pick<OpsServer, 'listen'>,
): Promise<void> {
  await app.listen(port, host);
  await ops.listen();
}

/**
 * Ends a service on SIGTERM or SIGINT. It turns unready first. Then Nest's shutdown hooks end running calls and close
 * workers. A hard stop follows at the deadline, because `worker.close()` has no time limit.
 */
export function stopOnSignal({ app, ops, logger, shutdownDeadlineMs, lingerMs = 0 }: RunningService): void {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    ops.drain();
    const hardStop = setTimeout(() => {
      logger.error(
        { shutdownDeadlineMs },
        'shutdown deadline passed; accounting will end the remaining calls when their leases run out',
      );
      process.exit(1);
    }, shutdownDeadlineMs);
    hardStop.unref();
    logger.info({ signal }, 'shutting down');
    sleep(lingerMs)
      .then(() => app.close())
      .then(() => ops.close())
      .then(stopTracing)
      .then(() => process.exit(0))
      .catch((error: unknown) => {
        logger.error({ err: error }, 'shutdown failed');
        process.exit(1);
      });
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}
