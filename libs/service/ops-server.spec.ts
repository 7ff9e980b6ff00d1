import { afterEach, describe, expect, it } from '@jest/globals';
import { Counter, Gauge } from 'prom-client';
import { freePort } from '#libs/launch/free-port.js';
import { createRegistry, OpsServer, type OpsOptions } from './ops-server.js';

let ops: OpsServer | undefined;
afterEach(() => ops?.close());

async function serve(
  changes: Partial<OpsOptions> = {},
): Promise<{ get: (path: string) => Promise<Response>; ops: OpsServer }> {
  const port = await freePort();
  const server = new OpsServer({
    host: '127.0.0.1',
    port,
    registry: createRegistry('ingress'),
    ready: async () => undefined,
    ...changes,
  });
  ops = server;
  await server.listen();
  return {
    get: (path) => fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000) }),
    ops: server,
  };
}

describe('the operations port', () => {
  it('says that the process lives, ready or not', async () => {
    const { get } = await serve({ ready: () => Promise.reject(new Error('no Redis')) });
    const response = await get('/health/live');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'live' });
  });

  it('says ready when the service can work', async () => {
    const { get } = await serve();
    expect((await get('/health/ready')).status).toBe(200);
  });

  it.each([
    ['rejects', () => Promise.reject(new Error('Redis is away'))],
    [
      'throws',
      () => {
        throw new Error('Redis is away');
      },
    ],
  ])('says why it is not ready when the probe %s', async (_, ready) => {
    const { get } = await serve({ ready });
    const response = await get('/health/ready');
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not ready', reason: 'Redis is away' });
  });

  it('does not wait for a probe that hangs', async () => {
    const { get } = await serve({ ready: () => new Promise(() => undefined) });
    const response = await get('/health/ready');
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ reason: expect.stringContaining('no answer within') });
  });

  it('is not ready from the moment that it drains, and lives on', async () => {
    const { get, ops: server } = await serve();
    server.drain();
    expect(await (await get('/health/ready')).json()).toEqual({ status: 'not ready', reason: 'shutting down' });
    expect((await get('/health/live')).status).toBe(200);
  });

  it('serves metrics under the name of the service, in the form that Prometheus asks for', async () => {
    const registry = createRegistry('forwarding');
    new Counter({ name: 'daypass_calls_total', help: 'calls', registers: [registry] }).inc(3);
    const response = await (await serve({ registry })).get('/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toContain('daypass_calls_total{service="forwarding"} 3');
    expect(text).toContain('process_cpu_seconds_total');
  });

  it('answers 500 when a metric cannot be collected, and lives on', async () => {
    const registry = createRegistry('ingress');
    new Gauge({
      name: 'daypass_waiting',
      help: 'waiting',
      registers: [registry],
      collect: () => Promise.reject(new Error('Redis is away')),
    });
    const { get } = await serve({ registry });
    expect((await get('/metrics')).status).toBe(500);
    expect((await get('/health/live')).status).toBe(200);
  });

  it('reads a path without its query', async () => {
    expect((await (await serve()).get('/health/live?verbose=1')).status).toBe(200);
  });

  it('names its paths to whoever asks for another', async () => {
    const response = await (await serve()).get('/metric');
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('/metrics');
  });

  it('cannot be started on a port that is taken', async () => {
    const port = await freePort();
    const options = { host: '127.0.0.1', port, registry: createRegistry('ingress'), ready: async () => undefined };
    ops = new OpsServer(options);
    await ops.listen();
    await expect(new OpsServer(options).listen()).rejects.toThrow(/EADDRINUSE/);
  });

  it('closes at once, although a scraper keeps its connection open', async () => {
    const { get, ops: server } = await serve();
    await (await get('/health/live')).text();
    await server.close();
    await expect(get('/health/live')).rejects.toThrow();
  });

  it('that never listened closes too', async () => {
    await expect(
      new OpsServer({
        host: '127.0.0.1',
        port: 0,
        registry: createRegistry('ingress'),
        ready: async () => undefined,
      }).close(),
    ).resolves.toBeUndefined();
  });
});
