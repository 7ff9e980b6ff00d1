/** The service tiers that a visitor may name. `fast` is the new name of `priority` (OpenAI, "Fast mode"). */
export const SERVICE_TIERS = ['default', 'flex', 'priority', 'fast'] as const;
type ServiceTier = (typeof SERVICE_TIERS)[number];

/** What tiers cost, in hundredths of the model's standard price. A tier without a price is not there. */
export type TierPercents = Readonly<Record<string, number>>;

/** OpenAI, "Fast mode for API Customers", read in November 2026: over the model's standard price, rounded up. */
const FAST = new Map<string, number>([
  ['gpt-6-astra', 200],
  ['gpt-6.1-sol', 200],
  ['gpt-5.6', 200],
  ['gpt-5.6-sol', 200],
  ['gpt-5.6-terra', 200],
  ['gpt-5.6-luna', 200],
  ['gpt-5.5', 250],
  ['gpt-5.4', 200],
  ['gpt-5.4-mini', 200],
  ['gpt-5.2', 200],
  ['gpt-5.1', 200],
  ['gpt-5.1-codex', 200],
  ['gpt-5', 200],
  ['gpt-5-codex', 200],
  ['gpt-5-mini', 180],
  ['gpt-4.1', 175],
  ['gpt-4.1-mini', 175],
  ['gpt-4.1-nano', 200],
  ['gpt-4o', 170],
  ['gpt-4o-2024-05-13', 175],
  ['gpt-4o-mini', 167],
  ['o3', 175],
  ['o4-mini', 182],
]);

/** OpenAI, "Pricing", flex processing: half of the standard price of these models. */
const FLEX_PERCENT = 50;
const FLEX = new Set([
  'gpt-6-astra',
  'gpt-6.1-sol',
  'gpt-5.6',
  'gpt-5.6-sol',
  'gpt-5.6-terra',
  'gpt-5.6-luna',
  'gpt-5.5',
  'gpt-5.5-pro',
  'gpt-5.4',
  'gpt-5.4-mini',
  'gpt-5.4-nano',
  'gpt-5.4-pro',
  'gpt-5.2',
  'gpt-5.1',
  'gpt-5',
  'gpt-5-mini',
  'gpt-5-nano',
  'o3',
  'o4-mini',
]);
const DATE = /-\d{4}-\d{2}-\d{2}$/;

/** The tiers of an OpenAI model that have a published price. The price package has none. */
export function listedTiers(model: string): TierPercents {
  const name = model.replace(DATE, '');
  const fast = FAST.get(model) ?? FAST.get(name);
  return tierPercents({
    ...(FLEX.has(name) ? { flex: FLEX_PERCENT } : {}),
    ...(fast === undefined ? {} : { fast }),
  });
}

/** All names of the tiers: `default` always, and both names of fast mode where one of them has a price. */
export function tierPercents({ flex, priority, fast }: Partial<Record<ServiceTier, number | undefined>>): TierPercents {
  const either = { priority: priority ?? fast, fast: fast ?? priority };
  return Object.fromEntries(
    Object.entries({ default: 100, flex, ...either }).filter(
      (entry): entry is [string, number] => entry[1] !== undefined,
    ),
  );
}

/** undefined: nobody knows what this tier costs. The name may come from a visitor or an upstream. */
export function percentOf(tiers: TierPercents, tier: string): number | undefined {
  return Object.hasOwn(tiers, tier) ? tiers[tier] : undefined;
}
