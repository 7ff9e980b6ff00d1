/** Whose call it is. */
export interface Holder {
  readonly keyId: string;
  readonly campaignId: string;
}

/** Who takes no further place for now: all keys of these campaigns, and these keys of others. */
export interface Crowd {
  readonly campaigns: readonly string[];
  readonly keys: readonly string[];
  /** Nor does any call that has another model draw. */
  readonly drawing?: boolean;
}

/** A quarter more places than one key gets alone. */
const RESERVE = 4;
/** One free place for so many that the key holds, and one more for so many that its campaign holds. */
const HELD_PER_FREE = 8;

/**
 * The places of one process, for calls that nobody can end early. A call takes one only if enough stay free. That is
 * one for each eight of its key, and one for each eight of its campaign. So one key alone gets `alone` places,
 * and a newcomer always finds one (dynamic thresholds, Choudhury and Hahne 1998; docs/adr/0015).
 */
export class Places {
  readonly size: number;
  private taken = 0;
  private readonly byKey = new Map<string, Holder & { held: number }>();
  private readonly byCampaign = new Map<string, number>();

  /** @param alone how many places one key gets while nobody else wants any */
  constructor(alone: number) {
    this.size = alone + Math.ceil(alone / RESERVE);
  }

  /** Returns false where the key and its campaign hold their share of what is free. */
  take(holder: Holder): boolean {
    if (!this.hasRoomFor(holder)) return false;
    this.occupy(holder);
    return true;
  }

  /** For a call that runs, because `sureOf` had said that it gets a place. */
  occupy(holder: Holder): void {
    const { keyId, campaignId } = holder;
    this.taken++;
    this.byKey.set(keyId, { keyId, campaignId, held: this.heldBy(holder) + 1 });
    this.byCampaign.set(campaignId, this.heldByCampaignOf(holder) + 1);
  }

  /** So many calls of `count` get a place, one after the other, whosever they are. */
  sureOf(count: number): number {
    let held = 0;
    for (const key of this.byKey.values()) held = Math.max(held, key.held + this.heldByCampaignOf(key));
    // The n-th call finds n − 1 places fewer, and its key and campaign may have taken all of those.
    const most = HELD_PER_FREE * (this.size - this.taken) - held + 2;
    return Math.max(0, Math.min(count, Math.floor(most / (HELD_PER_FREE + 2))));
  }

  hasRoomFor(holder: Holder): boolean {
    return this.heldBy(holder) + this.heldByCampaignOf(holder) <= this.most;
  }

  release(holder: Holder): void {
    const { keyId, campaignId } = holder;
    this.taken--;
    const held = this.heldBy(holder) - 1;
    if (held > 0) this.byKey.set(keyId, { keyId, campaignId, held });
    else this.byKey.delete(keyId);
    const heldByCampaign = this.heldByCampaignOf(holder) - 1;
    if (heldByCampaign > 0) this.byCampaign.set(campaignId, heldByCampaign);
    else this.byCampaign.delete(campaignId);
  }

  heldBy({ keyId }: Holder): number {
    return this.byKey.get(keyId)?.held ?? 0;
  }

  heldByCampaignOf({ campaignId }: Holder): number {
    return this.byCampaign.get(campaignId) ?? 0;
  }

  /** Everybody whose next call gets no place now. */
  crowd(): Crowd {
    const { most } = this;
    const campaigns = [...this.byCampaign].flatMap(([campaignId, held]) => (held > most ? [campaignId] : []));
    const crowded = new Set(campaigns);
    const keys = [...this.byKey.values()].flatMap((key) =>
      !crowded.has(key.campaignId) && !this.hasRoomFor(key) ? [key.keyId] : [],
    );
    return { campaigns, keys };
  }

  /** What a key and its campaign may hold together before they take another place; below 0: no place is free. */
  private get most(): number {
    const left = this.size - this.taken - 1;
    return left < 0 ? -1 : HELD_PER_FREE * left;
  }
}
