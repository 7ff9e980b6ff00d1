import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * `crumbs`: a body in chunks of one byte each. `switch`: it speaks another protocol from now on. `interim`: answers before
 * the answer, without an end.
 */
export type Answer = 'silence' | 'pour' | 'crumbs' | 'switch' | 'interim' | { redirect: string };

interface Counts {
  /** Connections at once. */
  mostOpen: number;
  /** Bytes that the sockets took. */
  poured: number;
}

/** In a thread of its own: what it does must not slow down whoever measures. */
const CODE = `
const { createServer } = require('node:http');
const { parentPort, workerData } = require('node:worker_threads');
let answer = 'silence', open = 0, mostOpen = 0, poured = 0;
const chunk = Buffer.alloc(65536);
const crumbs = Buffer.from('1\\r\\nx\\r\\n'.repeat(500000));
const interim = Buffer.from('HTTP/1.1 103 Early Hints\\r\\n\\r\\n'.repeat(2000));
const server = createServer((_, response) => {
  mostOpen = Math.max(mostOpen, ++open);
  response.once('close', () => open--);
  if (answer.redirect !== undefined) return response.writeHead(302, { location: answer.redirect }).end();
  if (answer === 'silence') return;
  if (answer === 'switch')
    return response.socket.end('HTTP/1.1 101 Switching Protocols\\r\\nConnection: upgrade\\r\\nUpgrade: x\\r\\n\\r\\n');
  if (answer === 'interim') {
    const { socket } = response;
    const more = () => {
      while (!socket.destroyed && socket.write(interim));
    };
    socket.on('drain', more);
    return more();
  }
  response.write('GIF89a and so on', () => {
    if (answer === 'crumbs') return response.socket && response.socket.write(crumbs);
    const more = () => {
      while (!response.destroyed && response.write(chunk)) poured += chunk.length;
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
});
server.listen(workerData.port, '127.0.0.1', () => parentPort.postMessage('listens'));
parentPort.on('message', (said) => {
  if (said.answer !== undefined) [answer, mostOpen, poured] = [said.answer, 0, 0];
  parentPort.postMessage({ mostOpen, poured });
});
`;

/** An attacker's own server, which Daypass is made to fetch images from. */
export class EvilServer {
  private constructor(
    private readonly worker: Worker,
    readonly port: number,
  ) {}

  static async start(port: number): Promise<EvilServer> {
    const worker = new Worker(CODE, { eval: true, workerData: { port } });
    await once(worker, 'message');
    return new EvilServer(worker, port);
  }

  /** From now on it answers so, and counts anew. */
  async answer(answer: Answer): Promise<void> {
    await this.say({ answer });
  }

  counts(): Promise<Counts> {
    return this.say({});
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }

  private async say(what: { answer?: Answer }): Promise<Counts> {
    this.worker.postMessage(what);
    return ((await once(this.worker, 'message')) as [Counts])[0];
  }
}
