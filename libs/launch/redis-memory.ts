import { totalmem } from 'node:os';

const LEAST_BYTES = 256 * 2 ** 20;
const MOST_BYTES = 4 * 2 ** 30;
const SHARE = 4;

/** What a Redis of our own may take of this machine, or of the container that limits this process. */
export function redisMemoryOfMachine(): number {
  return redisMemoryOf(totalmem(), process.constrainedMemory());
}

/**
 * A quarter, from 256 MB to 4 GB: the services and Postgres share the rest.
 * @param constrainedBytes 0 or more than the machine has where nothing limits this process
 */
export function redisMemoryOf(machineBytes: number, constrainedBytes: number): number {
  const bytes = constrainedBytes > 0 ? Math.min(machineBytes, constrainedBytes) : machineBytes;
  return Math.floor(Math.min(MOST_BYTES, Math.max(LEAST_BYTES, bytes / SHARE)));
}
