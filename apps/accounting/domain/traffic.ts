import { effectOf, type Transfer } from './transfer.js';

/** Stands for all campaigns together, and for refusals, which come before any campaign. */
export const ALL_CAMPAIGNS = '';

/** What happened within one hour in one campaign, or in all. */
export interface Traffic {
  campaignId: string;
  hour: Date;
  calls: number;
  spentNano: bigint;
  refused: number;
  flagged: number;
}

const HOUR_MS = 3_600_000;
export const hourOf = (at: Date): Date => new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS);

const NOTHING = { calls: 0, spentNano: 0n, refused: 0, flagged: 0 };

/** Sums by campaign and hour, and of all campaigns by hour. All have one order, so that transactions do not deadlock. */
export function sumTraffic(
  parts: Iterable<{ campaignId: string; at: Date } & Partial<Omit<Traffic, 'hour'>>>,
): Traffic[] {
  const sums = new Map<string, Traffic>();
  const hours = new Map<number, { hour: Date; name: string }>();
  for (const { campaignId: own, at, calls = 0, spentNano = 0n, refused = 0, flagged = 0 } of parts) {
    const hour = hourOf(at);
    const named = hours.get(hour.getTime()) ?? { hour, name: hour.toISOString() };
    hours.set(hour.getTime(), named);
    for (const campaignId of own === ALL_CAMPAIGNS ? [own] : [own, ALL_CAMPAIGNS]) {
      const name = `${campaignId} ${named.name}`;
      const sum = sums.get(name) ?? { campaignId, hour: named.hour, ...NOTHING };
      sum.calls += calls;
      sum.spentNano += spentNano;
      sum.refused += refused;
      sum.flagged += flagged;
      sums.set(name, sum);
    }
  }
  return [...sums].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
}

/** A call counts in the hour in which it began, and its costs in that in which each was booked. */
export function trafficOf(transfers: readonly Transfer[]): Traffic[] {
  return sumTraffic(
    transfers.flatMap((transfer) => {
      const { campaignId, at, kind, requestId, keyId } = transfer;
      if (requestId === null || keyId === null) return [];
      const { spentNano } = effectOf(transfer);
      return kind === 'hold' || spentNano !== 0n ? [{ campaignId, at, calls: kind === 'hold' ? 1 : 0, spentNano }] : [];
    }),
  );
}
