import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { until } from '#libs/testing/until.js';

export interface GithubUser {
  id: number;
  login: string;
  created_at: string;
}

interface Granted {
  challenge: string;
  redirectUri: string;
  user: GithubUser;
}

/**
 * A GitHub Enterprise as far as OAuth apps need it, whose users agree at once: "Authorizing OAuth apps" with PKCE. A code
 * works once, with its verifier and its redirect_uri.
 */
export class GithubDouble {
  static readonly CLIENT_ID = 'Ov23liDouble';
  static readonly CLIENT_SECRET = 'the secret of the double';
  /** Who is signed in at GitHub; null: the user says no. */
  user: GithubUser | null = null;
  /** What stands in for the next answers of its API. */
  answers: ((response: ServerResponse) => void) | null = null;
  /** Every request: its path, and what of it tells how much it asks for. */
  readonly asked: { path: string; query: URLSearchParams }[] = [];
  private readonly codes = new Map<string, Granted>();
  private readonly tokens = new Map<string, GithubUser>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<GithubDouble> {
    const server = createServer();
    const double = new GithubDouble(server);
    server.on('request', (request, response) => {
      double.serve(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return double;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, 'http://double');
    this.asked.push({ path: pathname, query: searchParams });
    if (pathname === '/login/oauth/authorize') return this.authorize(searchParams, response);
    if (this.answers !== null) return this.answers(response);
    if (pathname === '/login/oauth/access_token') return json(response, this.exchange(await bodyOf(request)));
    const user = this.tokens.get(String(request.headers.authorization).replace('Bearer ', ''));
    if (pathname !== '/api/v3/user' || user === undefined || request.headers['user-agent'] === undefined)
      return void response.writeHead(user === undefined ? 401 : 404).end();
    return json(response, { ...user, email: null, plan: { name: 'free' } });
  }

  private authorize(query: URLSearchParams, response: ServerResponse): void {
    const back = new URL(query.get('redirect_uri')!);
    back.searchParams.set('state', query.get('state')!);
    if (query.get('client_id') !== GithubDouble.CLIENT_ID || query.get('code_challenge_method') !== 'S256')
      return void response.writeHead(404).end();
    if (this.user === null) back.searchParams.set('error', 'access_denied');
    else {
      const code = randomBytes(10).toString('hex');
      const redirectUri = query.get('redirect_uri')!;
      this.codes.set(code, { challenge: query.get('code_challenge')!, redirectUri, user: this.user });
      back.searchParams.set('code', code);
    }
    response.writeHead(302, { location: back.href }).end();
  }

  private exchange(text: string): object {
    const { client_id, client_secret, code, code_verifier, redirect_uri } = JSON.parse(text) as Record<string, string>;
    const granted = this.codes.get(code!);
    this.codes.delete(code!);
    if (client_id !== GithubDouble.CLIENT_ID || client_secret !== GithubDouble.CLIENT_SECRET)
      return { error: 'incorrect_client_credentials' };
    const isRight = granted?.challenge === createHash('sha256').update(code_verifier!).digest('base64url');
    if (!granted || !isRight || granted.redirectUri !== redirect_uri) return { error: 'bad_verification_code' };
    const token = `gho_${randomBytes(10).toString('hex')}`;
    this.tokens.set(token, granted.user);
    return { access_token: token, token_type: 'bearer', scope: '' };
  }
}

export interface Mail {
  to: string;
  subject: string;
  text: string;
}

/** A mail server that keeps what it gets. */
export class SmtpDouble {
  readonly mails: Mail[] = [];
  private readonly server: SMTPServer;

  private constructor() {
    this.server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      onData: (stream, session, callback) => {
        void (async () => {
          let text = '';
          for await (const piece of stream) text += String(piece);
          this.mails.push(readMail(text, session.envelope.rcptTo[0]!.address));
          callback();
        })();
      },
    });
  }

  static async start(): Promise<SmtpDouble> {
    const double = new SmtpDouble();
    await new Promise<void>((resolve) => double.server.listen(0, '127.0.0.1', () => resolve()));
    return double;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.server.server.address() as AddressInfo).port}`;
  }

  /** The mails to an address, once there are so many. */
  async to(address: string, count = 1): Promise<Mail[]> {
    const its = (): Mail[] => this.mails.filter(({ to }) => to === address);
    await until(`${count} mails to ${address}`, () => its().length >= count);
    return its();
  }

  stop(): void {
    this.server.close();
  }
}

/** Of a plain text, in the encodings that nodemailer chooses. */
function readMail(raw: string, to: string): Mail {
  const at = raw.indexOf('\r\n\r\n');
  const head = raw.slice(0, at).replaceAll(/\r\n\s+/g, ' ');
  const body = raw.slice(at + 4);
  const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
  const isBase64 = header('content-transfer-encoding') === 'base64';
  const isQuoted = header('content-transfer-encoding') === 'quoted-printable';
  const text = isBase64
    ? Buffer.from(body, 'base64').toString('utf8')
    : isQuoted
      ? Buffer.from(
          body
            .replaceAll(/=\r\n/g, '')
            .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number(`0x${hex}`))),
          'latin1',
        ).toString('utf8')
      : body;
  return { to, subject: header('subject'), text };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request) text += String(piece);
  return text;
}

function json(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
