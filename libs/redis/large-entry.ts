import type { Writable } from 'node:stream';
import { Command, type Redis } from 'ioredis';

const END = Buffer.from('\r\n');

/**
 * Adds an entry whose last value is large, to a stream. The pieces of the value reach the socket as they are: ioredis copies
 * all buffers of a command into a new one. Returns the id of the entry. @throws what Redis or the connection says
 */
export function addLargeEntry(redis: Redis, args: readonly string[], value: readonly Uint8Array[]): Promise<string> {
  return redis.sendCommand(new LargeEntry(args, value)) as Promise<string>;
}

class LargeEntry extends Command {
  constructor(
    private readonly before: readonly string[],
    private readonly value: readonly Uint8Array[],
  ) {
    super('xadd', [...before], { replyEncoding: 'utf8' });
  }

  /** ioredis writes what this returns. All that comes before it is written here. */
  override toWritable(socket: object): Buffer {
    const words = [this.name, ...this.before].map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    const bytes = this.value.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const stream = socket as Writable;
    stream.write(Buffer.from(`*${words.length + 1}\r\n${words.join('')}$${bytes}\r\n`));
    for (const piece of this.value) stream.write(piece);
    return END;
  }
}
