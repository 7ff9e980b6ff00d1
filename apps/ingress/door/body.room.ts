import type { Holder } from '#libs/pacing/places.js';
import { bodiesOf, overloaded } from '../refusals.js';

/** A quarter of the room may belong to one key, and half of it to one campaign. */
const KEY_SHARE = 4;
const CAMPAIGN_SHARE = 2;
/** So much more room there is for whoever has nothing in it. */
const RESERVE_SHARE = 4;
/** So small a body always finds room: large ones of others must not keep it out. */
const SMALL_BYTES = 65_536;

/** Bounds the bytes of bodies that one process holds: they come in, or their calls wait for their holds. */
export class BodyRoom {
  private bytes = 0;
  private readonly bytesOf = new Map<string, number>();
  private readonly mostOfKey: number;
  private readonly mostOfCampaign: number;

  /** `bodyBytes`: the largest body, for which one key always has room. */
  constructor(
    private readonly most: number,
    private readonly bodyBytes: number,
  ) {
    this.mostOfKey = Math.max(Math.ceil(most / KEY_SHARE), bodyBytes);
    this.mostOfCampaign = Math.max(Math.ceil(most / CAMPAIGN_SHARE), bodyBytes);
  }

  enter(owner: Holder): BodyPlace {
    return new BodyPlace((bytes, ofBody) => this.add(owner, bytes, ofBody));
  }

  /** @throws DaypassError `rate_limit_exceeded` where key or campaign has its share, `overloaded` where there is no room */
  private add({ keyId, campaignId }: Holder, bytes: number, ofBody: number): void {
    const ofKey = (this.bytesOf.get(keyId) ?? 0) + bytes;
    const ofCampaign = (this.bytesOf.get(campaignId) ?? 0) + bytes;
    if (bytes > 0) {
      if (ofKey > this.mostOfKey) throw bodiesOf('key', this.mostOfKey);
      if (ofCampaign > this.mostOfCampaign) throw bodiesOf('campaign', this.mostOfCampaign);
      const isNewcomer = ofCampaign === ofBody + bytes;
      const room = this.most + (isNewcomer ? Math.max(Math.ceil(this.most / RESERVE_SHARE), this.bodyBytes) : 0);
      if (ofBody + bytes > SMALL_BYTES && this.bytes + bytes > room) throw overloaded();
    }
    this.bytes += bytes;
    this.set(keyId, ofKey);
    this.set(campaignId, ofCampaign);
  }

  private set(owner: string, bytes: number): void {
    if (bytes > 0) this.bytesOf.set(owner, bytes);
    else this.bytesOf.delete(owner);
  }
}

/** What one body takes of the room. */
export class BodyPlace {
  private bytes = 0;

  constructor(private readonly add: (bytes: number, ofBody: number) => void) {}

  /** @throws as `BodyRoom` says */
  grow(bytes: number): void {
    this.add(bytes, this.bytes);
    this.bytes += bytes;
  }

  /** Gives so much of it back. */
  shrink(bytes: number): void {
    this.add(-bytes, this.bytes);
    this.bytes -= bytes;
  }

  /** Gives all of it back; a second time it changes nothing. */
  leave(): void {
    this.add(-this.bytes, this.bytes);
    this.bytes = 0;
  }
}
