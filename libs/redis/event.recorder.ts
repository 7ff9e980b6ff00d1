import type { Redis } from 'ioredis';
import type { AuditEvent } from '#libs/contracts/audit.js';
import { TickBatch } from './tick-batch.js';
import { redisKeys } from './keys.js';
import { defineScript, type Script } from './scripts.js';

/** An event for the record, and its sealed content. */
export interface Recorded {
  event: AuditEvent;
  sealed: Buffer | null;
}

const EVENTS_MAX = 32;

/** As scripts take them: the event, and its content ('' for none). */
export function eventArgs(events: readonly Recorded[]): string[] {
  // A buffer goes through ioredis as it is.
  return events.flatMap(({ event, sealed }) => [JSON.stringify(event), (sealed ?? '') as string]);
}

/** Hands events to accounting, which books them in the record; those of one tick in one command. */
export class EventRecorder {
  private readonly script: Script;
  private readonly events = new TickBatch<Recorded, void>(EVENTS_MAX, (events) => this.write(events));

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'record-event');
  }

  /** Repeated, it is booked once all the same. @throws when Redis does not take it */
  record(event: AuditEvent, sealed: Buffer | null = null): Promise<void> {
    return this.events.add({ event, sealed });
  }

  private async write(events: readonly Recorded[]): Promise<void[]> {
    await this.script([redisKeys.audit, redisKeys.auditBytes], eventArgs(events));
    return events.map(() => undefined);
  }
}
