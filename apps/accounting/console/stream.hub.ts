import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { StreamEvent } from '#libs/contracts/admin/console.js';
import { blockingConnection } from '#libs/redis/connection.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { AdminError } from '../domain/admin.error.js';
import { Periodic } from '../periodic.js';
import { Beats } from './beats.js';
import { LiveFigures } from './live.figures.js';
import { POSTGRES_AWAY, REDIS_AWAY, troublesOf, type Trouble } from './troubles.js';

const CLIENTS_MAX = 50;
/** Whoever leaves more than this unread is cut off. The page comes again, and fetches what it shows. */
const UNREAD_BYTES_MAX = 262_144;
/** A comment keeps proxies from closing a silent stream. Then a session is looked at again, too. */
const EVERY_MS = { beat: 1_000, troubles: 5_000, comment: 15_000 };
/** Keeps the connection of the subscription from looking dead. */
const PING_EVERY_MS = 10_000;
const POSTGRES_PATIENCE_MS = 2_000;
/** The browser comes again after this time. */
const RETRY_MS = 2_000;

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
};

export interface Listener {
  response: ServerResponse;
  requestId: string;
  /** The events that it asks for; undefined: all. */
  topics: readonly StreamEvent['event'][] | undefined;
  /** Whether its session still holds. */
  isAllowed: () => Promise<boolean>;
}

/**
 * Sends open consoles what happens, as server-sent events. While nobody listens, there is no timer and no connection.
 */
@Injectable()
export class StreamHub implements BeforeApplicationShutdown {
  /** Tests do not wait for so long. */
  readonly everyMs = { ...EVERY_MS };
  private readonly listeners = new Set<Listener>();
  private running: { loops: Periodic[]; subscriber: Redis } | undefined;
  private troubles = new Map<string, Trouble>();
  private ending = false;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @InjectDataSource() private readonly source: DataSource,
    private readonly beats: Beats,
    private readonly figures: LiveFigures,
  ) {}

  /** Keeps the response open. @throws AdminError `too_many_streams` */
  join(listener: Listener): void {
    if (this.ending || this.listeners.size >= CLIENTS_MAX)
      throw new AdminError(
        'too_many_streams',
        `This process of accounting serves ${CLIENTS_MAX} open consoles at most. Close one, or ask GET /admin/v1/overview from time to time.`,
        { retryAfterSeconds: RETRY_MS / 1_000 },
      );
    const { response, requestId } = listener;
    response.writeHead(200, { ...HEADERS, 'x-request-id': requestId });
    response.write(`retry: ${RETRY_MS}\n\n`);
    this.listeners.add(listener);
    response.once('close', () => this.leave(listener));
    for (const trouble of this.troubles.values()) this.sendTo(listener, troubled(trouble, false));
    this.running ??= this.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.ending = true;
    const { running } = this;
    for (const { response } of this.listeners) response.end();
    this.listeners.clear();
    this.stop();
    await Promise.all(running?.loops.map((loop) => loop.stop()) ?? []);
  }

  private start(): { loops: Periodic[]; subscriber: Redis } {
    const subscriber = blockingConnection(this.config.redisUrl);
    subscriber.on('error', (error) => this.logger.warn({ err: error }, 'console connection'));
    subscriber.on('message', (_channel, text) => {
      for (const event of JSON.parse(text) as StreamEvent[]) this.send(event);
    });
    // Sent earlier it can overtake ioredis' check of the connection, which then forgets the channel (5.11).
    subscriber.once('ready', () => void subscriber.subscribe(redisKeys.consoleChannel).catch(() => undefined));
    const report = (error: unknown): void => this.logger.warn({ err: error }, 'accounting could not tell consoles');
    const loops = [
      new Periodic(this.everyMs.beat, () => this.beat(), report),
      new Periodic(this.everyMs.troubles, () => this.look(), report),
      new Periodic(this.everyMs.comment, () => this.comment(), report),
      new Periodic(
        PING_EVERY_MS,
        async () => void (await subscriber.ping()),
        () => undefined,
      ),
    ];
    for (const loop of loops) loop.start();
    return { loops, subscriber };
  }

  private leave(listener: Listener): void {
    this.listeners.delete(listener);
    if (this.listeners.size === 0) this.stop();
  }

  private stop(): void {
    this.running?.subscriber.disconnect();
    for (const loop of this.running?.loops ?? []) void loop.stop();
    this.running = undefined;
    this.troubles = new Map();
  }

  private async beat(): Promise<void> {
    try {
      this.send({ event: 'beat', data: await this.beats.read() });
      this.mend(REDIS_AWAY);
    } catch (error) {
      this.logger.debug({ err: error }, 'accounting could not read the figures of consoles');
      this.raise(REDIS_AWAY);
    }
  }

  private async look(): Promise<void> {
    const signal = new AbortController();
    const late = sleep(POSTGRES_PATIENCE_MS, undefined, { signal: signal.signal }).then(() => {
      throw new Error('Postgres did not answer in time');
    });
    const answers = await Promise.race([this.source.query('SELECT 1'), late]).then(
      () => true,
      () => false,
    );
    signal.abort();
    if (answers) this.mend(POSTGRES_AWAY);
    else this.raise(POSTGRES_AWAY);
    // The beat tells where Redis is away.
    const [services, lagMs] = await Promise.all([this.figures.services(), this.figures.booksLagMs()]).catch(
      () => [undefined, 0] as const,
    );
    if (services === undefined) return;
    const found = troublesOf(services, lagMs);
    for (const former of this.troubles.values())
      if (former !== REDIS_AWAY && former !== POSTGRES_AWAY && !found.some(({ what }) => what === former.what))
        this.mend(former);
    for (const trouble of found) this.raise(trouble);
  }

  private raise(trouble: Trouble): void {
    if (this.troubles.has(trouble.what)) return;
    this.troubles.set(trouble.what, trouble);
    this.send(troubled(trouble, false));
  }

  private mend(trouble: Trouble): void {
    if (this.troubles.delete(trouble.what)) this.send(troubled(trouble, true));
  }

  private async comment(): Promise<void> {
    for (const listener of [...this.listeners]) {
      // Where Postgres cannot say, the stream goes on.
      if (await listener.isAllowed().catch(() => true)) this.write(listener, ':\n\n');
      else listener.response.end();
    }
  }

  private send(event: StreamEvent): void {
    for (const listener of this.listeners) this.sendTo(listener, event);
  }

  private sendTo(listener: Listener, { event, data }: StreamEvent): void {
    if (listener.topics === undefined || listener.topics.includes(event))
      this.write(listener, `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  private write({ response }: Listener, text: string): void {
    response.write(text);
    if (response.writableLength > UNREAD_BYTES_MAX) response.destroy();
  }
}

function troubled({ what, text }: Trouble, over: boolean): StreamEvent {
  return { event: 'trouble', data: { what, text, over } };
}
