import type { Redis } from 'ioredis';
import type { AuditEvent } from '#libs/contracts/audit.js';
import { TickBatch } from './tick-batch.js';
import { redisKeys } from './keys.js';
import { defineScript, type Script } from './scripts.js';

/** An event for the record, and its encrypted content. */
export interface Recorded {
  event: AuditEvent;
  encrypted: Buffer | null;
}

const EVENTS_MAX = 32;

/** Arguments for a script: each event, and its content ('': none). */
export function eventArgs(events: readonly Recorded[]): string[] {
  // A buffer goes through ioredis as it is.
  return events.flatMap(({ event, encrypted }) => [JSON.stringify(event), (encrypted ?? '') as string]);
}

/** Hands events to accounting, which books them in the record. Events of one tick share a command. */
export class EventRecorder {
  private readonly script: Script;
  private readonly events = new TickBatch<Recorded, void>(EVENTS_MAX, (events) => this.write(events));

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'record-event');
  }

  /** Accounting books a repeated event once. @throws when Redis does not take the event */
  record(event: AuditEvent, encrypted: Buffer | null = null): Promise<void> {
    return this.events.add({ event, encrypted });
  }

  private async write(events: readonly Recorded[]): Promise<void[]> {
    await this.script([redisKeys.audit, redisKeys.auditBytes], eventArgs(events));
    return events.map(() => undefined);
  }
}
