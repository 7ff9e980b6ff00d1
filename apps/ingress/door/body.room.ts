import { bodiesOfKey, overloaded } from '../refusals.js';

/** A quarter of the room may belong to one key. */
const KEY_SHARE = 4;

/** Bounds the bytes of bodies that one process holds: they come in, or their calls wait for their holds. */
export class BodyRoom {
  private bytes = 0;
  private readonly bytesOfKey = new Map<string, number>();
  private readonly mostOfKey: number;

  /** `bodyBytes`: the largest body, for which one key always has room. */
  constructor(
    private readonly most: number,
    bodyBytes: number,
  ) {
    this.mostOfKey = Math.max(Math.ceil(most / KEY_SHARE), bodyBytes);
  }

  enter(keyId: string): BodyPlace {
    return new BodyPlace((bytes) => this.add(keyId, bytes));
  }

  /** @throws DaypassError `rate_limit_exceeded` where the key has its share, `overloaded` where there is no room */
  private add(keyId: string, bytes: number): void {
    const ofKey = (this.bytesOfKey.get(keyId) ?? 0) + bytes;
    if (bytes > 0 && ofKey > this.mostOfKey) throw bodiesOfKey(this.mostOfKey);
    if (bytes > 0 && this.bytes + bytes > this.most) throw overloaded();
    this.bytes += bytes;
    if (ofKey > 0) this.bytesOfKey.set(keyId, ofKey);
    else this.bytesOfKey.delete(keyId);
  }
}

/** What one body takes of the room. */
export class BodyPlace {
  private bytes = 0;

  constructor(private readonly add: (bytes: number) => void) {}

  /** @throws as `BodyRoom` says */
  grow(bytes: number): void {
    this.add(bytes);
    this.bytes += bytes;
  }

  /** Gives all of it back; a second time it changes nothing. */
  leave(): void {
    this.add(-this.bytes);
    this.bytes = 0;
  }
}
