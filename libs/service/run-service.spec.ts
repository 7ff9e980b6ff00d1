import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { INestApplicationContext } from '@nestjs/common';
import { pino } from 'pino';
import { freePort } from '#libs/launch/free-port.js';
import { createRegistry, OpsServer } from './ops-server.js';
import { listenReady, stopOnSignal } from './run-service.js';

describe('a service that starts', () => {
  it('says ready only when the port of its calls is open', async () => {
    const [host, port] = ['127.0.0.1', await freePort()];
    const ready = async (): Promise<number | null> =>
      (await fetch(`http://${host}:${port}/health/ready`).catch(() => null))?.status ?? null;
    const ops = new OpsServer({ host, port, registry: createRegistry('ingress'), ready: async () => undefined });
    let whileOpening: number | null | undefined;
    const app = {
      listen: async (...at: unknown[]): Promise<void> => {
        whileOpening = await ready();
        expect(at).toEqual([8080, host]);
      },
    };
    try {
      await listenReady(app as Parameters<typeof listenReady>[0], { port: 8080, host }, ops);
      expect(whileOpening).toBeNull();
      expect(await ready()).toBe(200);
    } finally {
      await ops.close();
    }
  });
});

describe('a service that is told to stop', () => {
  afterEach(() => void jest.restoreAllMocks());

  it('says at once that it is not ready, takes calls while it lingers, then closes and exits', async () => {
    const steps: [string, number][] = [];
    let begunMs = 0;
    const step = (name: string) => (): undefined => {
      steps.push([name, performance.now() - begunMs]);
    };
    const { promise: exited, resolve } = Promise.withResolvers<void>();
    const handlers = new Map<string, () => void>();
    jest.spyOn(process, 'on').mockImplementation((event: string | symbol, handler: unknown) => {
      handlers.set(String(event), handler as () => void);
      return process;
    });
    jest.spyOn(process, 'exit').mockImplementation(((code: number) => {
      step(`exit ${code}`)();
      resolve();
    }) as typeof process.exit);
    stopOnSignal({
      app: { close: async () => step('close')() } as unknown as INestApplicationContext,
      ops: { drain: step('drain'), close: async () => step('ops close')() } as unknown as OpsServer,
      logger: pino({ level: 'silent' }),
      // Its timer outlives this test.
      shutdownDeadlineMs: 600_000,
      lingerMs: 200,
    });
    begunMs = performance.now();
    handlers.get('SIGTERM')!();
    await exited;
    expect(steps.map(([name]) => name)).toEqual(['drain', 'close', 'ops close', 'exit 0']);
    const [drainedMs, closedMs] = steps.map(([, ms]) => ms);
    expect(closedMs! - drainedMs!).toBeGreaterThanOrEqual(195);
  });
});
