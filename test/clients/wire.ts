import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';

/** One request of a client, and what Daypass answered. */
export interface Exchange {
  method: string;
  /** Without the query. */
  path: string;
  headers: IncomingHttpHeaders;
  /** null: nothing, or a form. */
  body: object | null;
  status: number;
  answerHeaders: IncomingHttpHeaders;
  answer: string;
}

/** Lies between a client and Daypass, and keeps what went by. It changes nothing. */
export class Wire {
  readonly exchanges: Exchange[] = [];
  private readonly server = createServer((incoming, outgoing) => void this.pass(incoming, outgoing));

  private readonly target: URL;

  private constructor(target: URL) {
    this.target = target;
    this.server.on('upgrade', (incoming, socket, head) => this.passUpgrade(incoming, socket, head));
  }

  /** @param baseUrl Daypass' base URL, with `/v1` */
  static async open(baseUrl: string): Promise<Wire> {
    const wire = new Wire(new URL(baseUrl));
    wire.server.listen(0, '127.0.0.1');
    await once(wire.server, 'listening');
    return wire;
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('the wire is closed');
    return `http://127.0.0.1:${address.port}${this.target.pathname}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const sent = Buffer.concat(await incoming.toArray());
    const onward = request(this.target, { method: incoming.method, path: incoming.url, headers: incoming.headers });
    outgoing.once('close', () => onward.destroy());
    onward.on('error', () => outgoing.destroy());
    onward.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => {
        pieces.push(piece);
        outgoing.write(piece);
      });
      answer.on('error', () => outgoing.destroy());
      answer.on('close', () => {
        outgoing.end();
        this.keep(incoming, sent, answer, Buffer.concat(pieces));
      });
    });
    onward.end(sent);
  }

  /** Passes the bytes of both sides, and reads the answer's head by the way. */
  private passUpgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    const onward = connect(Number(this.target.port), this.target.hostname);
    const fields = incoming.rawHeaders;
    const lines = fields.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${fields[index + 1]}`] : []));
    onward.write([`${incoming.method} ${incoming.url} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
    onward.write(head);
    let answer = '';
    onward.on('data', (piece: Buffer) => (answer += piece.toString('latin1')));
    onward.pipe(socket);
    socket.pipe(onward);
    for (const [one, other] of [
      [onward, socket],
      [socket, onward],
    ] as const)
      one.on('error', () => other.destroy());
    onward.once('close', () => {
      const statusCode = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
      this.keep(incoming, Buffer.alloc(0), { statusCode, headers: {} }, Buffer.from(answer));
    });
  }

  private keep(
    incoming: IncomingMessage,
    sent: Buffer,
    answer: Pick<IncomingMessage, 'statusCode' | 'headers'>,
    bytes: Buffer,
  ): void {
    this.exchanges.push({
      method: incoming.method!,
      path: incoming.url!.split('?')[0]!,
      headers: incoming.headers,
      body: isJson(incoming) && sent.length > 0 ? (JSON.parse(sent.toString('utf8')) as object) : null,
      status: answer.statusCode!,
      answerHeaders: answer.headers,
      answer: bytes.toString('utf8'),
    });
  }
}

/** Otherwise it is a form with files. */
const isJson = ({ headers }: IncomingMessage): boolean =>
  !(headers['content-type'] ?? '').startsWith('multipart/form-data');
