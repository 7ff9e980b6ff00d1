import { METERS } from '#libs/contracts/jobs.js';

/** What a booking says that its call used, by meter, e.g. `image_output`. undefined: it says nothing. */
export function shownUsage(usage: unknown): Record<string, number> | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const counts = usage as Readonly<Record<string, unknown>>;
  const used = METERS.flatMap((meter) => {
    const count = counts[meter];
    return typeof count === 'number' && count > 0 ? [[snake(meter), count] as const] : [];
  });
  return used.length === 0 ? undefined : Object.fromEntries(used);
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
