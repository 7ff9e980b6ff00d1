import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { DoorView } from '#libs/contracts/admin/console.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { currentActor } from '../actor.js';
import { AdminError } from '../domain/admin.error.js';
import { LiveEvents } from '../live.events.js';
import { AuditRepository } from '../record/audit.repository.js';
import { UnitOfWork } from '../store/unit-of-work.js';

type State = DoorView['state'];

/** The subject of its acts on record. */
const DOOR = 'door';
/** Keeps two changes apart, also in Redis, and also before the door has a row. */
const LOCK = 0x64_70_03;
const NEVER_SET: DoorView = { state: 'open', note: null, since: null, by: null };

/**
 * The operator's switch for all new calls and claims. The books keep it. Scripts read it in Redis, so that it is in
 * force everywhere at once.
 */
@Injectable()
export class DoorSwitch {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly work: UnitOfWork,
    private readonly audit: AuditRepository,
    private readonly live: LiveEvents,
  ) {}

  async read(): Promise<DoorView> {
    const [row] = await this.work.manager.query<
      { state: State; note: string | null; since: Date; by: string | null }[]
    >('SELECT state, note, since, by FROM access.door');
    return row ? { ...row, since: row.since.toISOString() } : NEVER_SET;
  }

  /** In force when it resolves. @throws AdminError `store_unavailable`; nothing changes then */
  async set(state: State, note: string): Promise<DoorView> {
    return this.work.run(async (unit) => {
      await unit.manager.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
      await unit.manager.query(
        `INSERT INTO access.door (state, note, since, by) VALUES ($1, $2, now(), $3)
         ON CONFLICT (only_row) DO UPDATE SET state = excluded.state, note = excluded.note, since = excluded.since, by = excluded.by`,
        [state, note, currentActor()],
      );
      await this.audit.appendAct(unit.manager, {
        act: 'door',
        subject: DOOR,
        note: `${state === 'shut' ? 'shut' : 'opened'}: ${note}`,
      });
      const door = await this.read();
      unit.undone.push(() => this.restore());
      await this.write(state);
      unit.committed.push(async () => this.live.tell([{ event: 'door', data: door }]));
      return door;
    });
  }

  /**
   * Brings what the books have into Redis. It may have lost that, or has a change whose process died before the commit.
   */
  restore(): Promise<void> {
    return this.work.run(async ({ manager }) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
      const { state } = await this.read();
      await this.write(state);
    });
  }

  private async write(state: State): Promise<void> {
    try {
      if (state === 'shut') await this.redis.set(redisKeys.doorSwitch, 'shut');
      else await this.redis.del(redisKeys.doorSwitch);
    } catch {
      throw new AdminError(
        'store_unavailable',
        'Redis does not answer at the moment, and without it the door stays as it is. Try again shortly. Nothing was changed.',
      );
    }
  }
}
