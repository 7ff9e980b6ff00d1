import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { blockingConnection, whenReady } from '#libs/redis/connection.js';
import { redisKeys } from '#libs/redis/keys.js';

/** This connection carries no other command, and only an unanswered one shows that it is dead. */
const PING_EVERY_MS = 10_000;
/** Longer than the answer of a look at a lane may take to come, but for an outage of Redis, which cancels nothing. */
const EARLY_KEPT_MS = 10_000;
const EARLY_MAX = 10_000;

/** Aborts a call whose visitor left. */
export class VisitorLeft extends Error {
  constructor() {
    super('the visitor left');
    this.name = 'VisitorLeft';
  }
}

/** Listens for visitors who left, and aborts their calls where this process runs them. */
@Injectable()
export class CancelListener implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Several for a call that went back to its line: its next attempt may start before the former one has ended. */
  private readonly running = new Map<string, Set<AbortController>>();
  /** Whose visitors left lately, and when: the dispatch of such a call may be on its way to this process. */
  private readonly left = new Map<string, number>();
  private readonly subscriber: Redis;
  private pinging: NodeJS.Timeout | undefined;

  constructor(@Inject(CONFIG) config: DaypassConfig, @Inject(LOGGER) logger: Logger) {
    this.subscriber = blockingConnection(config.redisUrl);
    this.subscriber.on('error', (error) => logger.warn({ err: error }, 'cancel connection'));
  }

  async onApplicationBootstrap(): Promise<void> {
    this.subscriber.on('message', (_channel, requestId) => this.hear(requestId));
    // A subscription sent earlier can overtake ioredis' check of the connection, which then forgets the channel (5.11).
    await whenReady(this.subscriber);
    await this.subscriber.subscribe(redisKeys.cancelChannel);
    this.pinging = setInterval(() => void this.subscriber.ping().catch(() => undefined), PING_EVERY_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.pinging);
    this.subscriber.disconnect();
  }

  track(requestId: string): AbortController {
    const controller = new AbortController();
    this.running.set(requestId, (this.running.get(requestId) ?? new Set()).add(controller));
    if (performance.now() - (this.left.get(requestId) ?? -Infinity) < EARLY_KEPT_MS)
      controller.abort(new VisitorLeft());
    return controller;
  }

  private hear(requestId: string): void {
    const nowMs = performance.now();
    // The oldest come first.
    for (const [id, atMs] of this.left) {
      if (nowMs - atMs < EARLY_KEPT_MS && this.left.size < EARLY_MAX) break;
      this.left.delete(id);
    }
    this.left.set(requestId, nowMs);
    for (const controller of this.running.get(requestId) ?? []) controller.abort(new VisitorLeft());
  }

  /** Forgets one attempt, and no other of the same call. */
  forget(requestId: string, controller: AbortController): void {
    const attempts = this.running.get(requestId);
    attempts?.delete(controller);
    if (attempts?.size === 0) this.running.delete(requestId);
  }
}
