import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

type Mode = 'pass' | 'refuse' | 'freeze';

interface Link {
  client: Socket;
  server: Socket;
}

/**
 * Stands between a client and a store on loopback, and fails on demand. It cuts every connection, refuses new ones,
 * swallows or delays data, or passes one request on and drops its reply.
 */
export class FaultProxy {
  private readonly links = new Set<Link>();
  private mode: Mode = 'pass';
  private delayMs = 0;
  private swallow: { pattern: Buffer; reached: (link: Link) => void } | undefined;

  private constructor(
    private readonly server: Server,
    private targetPort: number,
  ) {}

  static async start(targetPort: number): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new FaultProxy(server, targetPort);
    server.on('connection', (client) => proxy.accept(client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  /** New connections go to another server, as those to a name that moved. Present ones stay. */
  retarget(port: number): void {
    this.targetPort = port;
  }

  /** All connections go to another server, and clients see none break: as behind a proxy that knows the protocol. */
  replaceServer(port: number): void {
    this.targetPort = port;
    for (const link of this.links) {
      link.server
        .removeAllListeners()
        .on('error', () => undefined)
        .destroy();
      this.dial(link);
    }
  }

  /** Breaks every connection, and serves new ones. */
  cut(): void {
    for (const link of [...this.links]) this.end(link);
  }

  /** Breaks every connection, and each new one at once. */
  refuse(): void {
    this.mode = 'refuse';
    this.cut();
  }

  /** Keeps connections open, but passes nothing on. */
  freeze(): void {
    this.mode = 'freeze';
  }

  /** Passes nothing on over the present connections, which stay open. Serves new ones. */
  strand(): void {
    for (const { client, server } of this.links) {
      for (const socket of [client, server]) socket.removeAllListeners('data').resume();
    }
  }

  /** Works again. It cuts frozen connections, whose swallowed data is lost. */
  heal(): void {
    const cut = this.mode === 'freeze';
    this.mode = 'pass';
    this.delayMs = 0;
    if (cut) this.cut();
  }

  delay(ms: number): void {
    this.delayMs = ms;
  }

  /** Passes on the next request with this text, drops its reply, and breaks the connection. Resolves then. */
  dropReplyTo(text: string, between: () => void | Promise<void> = () => undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.swallow = {
        pattern: Buffer.from(text),
        reached: (link) => {
          link.server.removeAllListeners('data');
          link.server.once('data', () => {
            void Promise.resolve(between())
              .then(resolve, reject)
              .finally(() => this.end(link));
          });
        },
      };
    });
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    client.on('error', () => undefined);
    if (this.mode === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const link: Link = { client, server: client };
    this.dial(link);
    this.links.add(link);
    client.on('data', (chunk) => {
      this.pass(client, link.server, chunk);
      if (this.swallow && chunk.includes(this.swallow.pattern)) {
        const { reached } = this.swallow;
        this.swallow = undefined;
        reached(link);
      }
    });
    client.on('close', () => this.end(link));
  }

  private dial(link: Link): void {
    const server = connect({ port: this.targetPort, host: '127.0.0.1', noDelay: true });
    link.server = server;
    server.on('error', () => undefined);
    server.on('data', (chunk) => this.pass(server, link.client, chunk));
    server.on('close', () => this.end(link));
  }

  private pass(from: Socket, to: Socket, chunk: Buffer): void {
    if (this.mode === 'freeze') return;
    if (this.delayMs > 0) {
      setTimeout(() => to.writable && to.write(chunk), this.delayMs);
      return;
    }
    // A slow reader holds back its writer, so that no data piles up here.
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  }

  private end(link: Link): void {
    if (!this.links.delete(link)) return;
    for (const socket of [link.client, link.server]) {
      if (!socket.destroyed) socket.resetAndDestroy();
    }
  }
}
