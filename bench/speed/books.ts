import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';

const DRAINED_MAX_MS = 30_000;
const LOOK_MS = 50;
/** So often in a row there was nothing to book. */
const LOOKS = 3;

/** What Redis has done since it started. */
export interface Asked {
  scripts: number;
  /** Those within scripts, too. */
  commands: number;
}

/** @throws when journal and record are not booked in time */
export async function whenDrained(redis: Redis): Promise<void> {
  const untilMs = performance.now() + DRAINED_MAX_MS;
  for (let dry = 0; dry < LOOKS;) {
    const [journal, record] = await Promise.all([redis.xlen(redisKeys.journal), redis.xlen(redisKeys.audit)]);
    dry = journal === 0 && record === 0 ? dry + 1 : 0;
    if (performance.now() > untilMs)
      throw new Error(
        `after ${DRAINED_MAX_MS / 1_000} s ${journal} entries of the journal and ${record} of the record are not booked`,
      );
    await sleep(LOOK_MS);
  }
}

export async function askedOf(redis: Redis): Promise<Asked> {
  const info = await redis.info('all');
  const scripts = [...info.matchAll(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:calls=(\d+)/gm)];
  return {
    scripts: scripts.reduce((sum, [, times]) => sum + Number(times), 0),
    commands: Number(/^total_commands_processed:(\d+)/m.exec(info)?.[1] ?? 0),
  };
}
