import { createServer, type Server } from 'node:http';
import { collectDefaultMetrics, Registry } from 'prom-client';

export interface OpsOptions {
  host: string;
  port: number;
  registry: Registry;
  /** Resolves when the service can do its work. The error's message names what it lacks. */
  ready: () => Promise<void>;
}

const READY_TIMEOUT_MS = 2_000;
/** prom-client's own is 10 ms, which wakes an idle process a hundred times a second. */
const EVENT_LOOP_LOOK_MS = 500;

export function createRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS });
  return registry;
}

/**
 * The operations port of a service: `/metrics`, `/health/live` (the process answers), `/health/ready` (it can work).
 */
export class OpsServer {
  private server: Server | undefined;
  private draining = false;

  constructor(private readonly options: OpsOptions) {}

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      void this.answer((request.url ?? '').split('?')[0]!)
        // A metric that fails to collect must not end the process as an unhandled rejection.
        .catch((error: unknown) => ({
          status: 500,
          type: 'application/json',
          body: JSON.stringify({ error: error instanceof Error ? error.message : String(error) }),
        }))
        .then(({ status, type, body }) => {
          response.writeHead(status, { 'content-type': type });
          response.end(body);
        });
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.options.port, this.options.host, resolve);
    });
  }

  /** Ready turns false at once, so that the balancer sends nothing new while running calls end. */
  drain(): void {
    this.draining = true;
  }

  async close(): Promise<void> {
    const server = this.server;
    if (!server) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  private async answer(url: string): Promise<{ status: number; type: string; body: string }> {
    if (url === '/metrics')
      return { status: 200, type: this.options.registry.contentType, body: await this.options.registry.metrics() };
    if (url === '/health/live') return { status: 200, type: 'application/json', body: '{"status":"live"}' };
    if (url !== '/health/ready')
      return {
        status: 404,
        type: 'application/json',
        body: '{"error":"unknown path: /metrics, /health/live, /health/ready"}',
      };
    try {
      if (this.draining) throw new Error('shutting down');
      await within(this.options.ready(), READY_TIMEOUT_MS);
      return { status: 200, type: 'application/json', body: '{"status":"ready"}' };
    } catch (error) {
      return {
        status: 503,
        type: 'application/json',
        body: JSON.stringify({ status: 'not ready', reason: error instanceof Error ? error.message : String(error) }),
      };
    }
  }
}

async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
