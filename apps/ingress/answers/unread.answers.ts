import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import type { Holder } from '#libs/pacing/places.js';

const MIB = 1_048_576;
const OF_KEY_MAX = 32 * MIB;
const OF_CAMPAIGN_MAX = 128 * MIB;
const MAX = 256 * MIB;
const EVERY_MS = 250;

/** What this class needs of a response. */
export interface Reader {
  readonly writableLength: number;
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

interface Open {
  reader: Reader;
  holder: Holder;
}

/**
 * Bounds what ingress keeps for visitors who do not read their answers, for each key and campaign, and in all. Beyond a
 * bound it hangs up on whoever leaves most unread.
 */
@Injectable()
export class UnreadAnswers implements BeforeApplicationShutdown {
  private readonly open = new Map<Reader, Holder>();
  private timer: NodeJS.Timeout | undefined;

  watch(reader: Reader, holder: Holder): void {
    this.open.set(reader, holder);
    reader.once('close', () => this.open.delete(reader));
    this.timer ??= setInterval(() => this.check(), EVERY_MS).unref();
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  check(): void {
    const left = new Map<string, number>();
    const add = (owner: string, bytes: number): void => void left.set(owner, (left.get(owner) ?? 0) + bytes);
    const unread = [...this.open].flatMap(([reader, holder]) =>
      reader.writableLength > 0 ? [{ reader, holder }] : [],
    );
    const count = ({ holder }: Open, bytes: number): void => {
      for (const owner of ['', holder.keyId, holder.campaignId]) add(owner, bytes);
    };
    for (const one of unread) count(one, one.reader.writableLength);
    const isTooMuch = ({ holder: { keyId, campaignId } }: Open): boolean =>
      left.get(keyId)! > OF_KEY_MAX || left.get(campaignId)! > OF_CAMPAIGN_MAX || left.get('')! > MAX;
    for (const one of unread.toSorted((a, b) => b.reader.writableLength - a.reader.writableLength)) {
      if (!isTooMuch(one)) continue;
      count(one, -one.reader.writableLength);
      one.reader.destroy();
    }
  }
}
