import type { Redis } from 'ioredis';
import type { AuditEvent } from '#libs/contracts/audit.js';
import { redisKeys } from './keys.js';
import { defineScript, type Script } from './scripts.js';

/** Hands events to accounting, which books them in the record. */
export class EventRecorder {
  private readonly script: Script;

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'record-event');
  }

  /** Repeated, it is booked once all the same. @throws when Redis does not take it */
  async record(event: AuditEvent, sealed: Buffer | null = null): Promise<void> {
    await this.script([redisKeys.audit, redisKeys.auditBytes], [JSON.stringify(event), (sealed ?? '') as string]);
  }
}
