import type { LinkPageState, LinkView } from '#libs/contracts/claims.js';

const STATES: Readonly<Record<LinkPageState, string>> = {
  open: 'open',
  not_started: 'not open yet',
  paused: 'paused by its operator',
  ended: 'ended',
  exhausted: 'all keys are taken',
  budget_gone: 'its budget is spent',
  door_shut: 'Daypass takes no new keys and calls at the moment',
  recovering: 'Daypass is recovering, please try again in a moment',
};
/** What a badge has room for. */
const SHORT: Readonly<Record<Exclude<LinkPageState, 'open'>, string>> = {
  not_started: 'not open yet',
  paused: 'paused',
  ended: 'ended',
  exhausted: 'none left',
  budget_gone: 'none left',
  door_shut: 'paused',
  recovering: 'not known now',
};
const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;
/** A preview and a line of text show so many models by name. */
const MODELS_SHOWN = 6;

/** An operator wrote it. In a terminal its control characters could do more than say something. */
const printable = (text: string): string => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();

export const titleOf = ({ page, campaign }: Pick<LinkView, 'page' | 'campaign'>): string =>
  printable(page.title) || campaign;

/** `$0.5` reads like a mistake. */
const dollars = (usd: string): string =>
  `$${usd.replace(/^(\d+)(?:\.(\d))?$/, (_, whole: string, tenths = '0') => `${whole}.${tenths}0`)}`;

/** In the largest unit of which there are at least two, or one that has no rest: 24 hours, 90 minutes, 7 days. */
export function duration(seconds: number): string {
  const [unit, length] = UNITS.find(([, one]) => seconds >= 2 * one && seconds % one === 0) ?? UNITS.at(-1)!;
  const count = seconds / length;
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

function modelsOf({ models }: LinkView): string {
  const [shown, more] = [models.slice(0, MODELS_SHOWN), models.length - MODELS_SHOWN];
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

/** For previews in chats: no key and no challenge. */
export function describeLink(view: LinkView): string {
  const terms = [
    dollars(view.key.budget_usd),
    ...(view.key.ttl_seconds === null ? [] : [duration(view.key.ttl_seconds)]),
    modelsOf(view),
  ];
  return view.state === 'open'
    ? `A free key: ${terms.join(' · ')} · ${view.left} of ${view.max_claims} left`
    : `A free key: ${terms.join(' · ')} · ${STATES[view.state]}`;
}

/** Eight lines for who opens a claim link without a browser. */
export function linkInText(view: LinkView, url: string): string {
  const { key, starts_at, expires_at } = view;
  return [
    titleOf(view),
    `State: ${STATES[view.state]}${view.state === 'not_started' && starts_at !== null ? `, it opens at ${starts_at}` : ''}`,
    `Budget of a key: ${dollars(key.budget_usd)}`,
    `Time of a key: ${key.ttl_seconds === null ? 'no end' : duration(key.ttl_seconds)}`,
    `Models: ${modelsOf(view)}`,
    `Claim until: ${expires_at ?? 'no end'}`,
    `Left: ${view.left} of ${view.max_claims}`,
    `Open in a browser: ${url}`,
    '',
  ].join('\n');
}

/** The right half of the badge; `open`: it is worth a click. */
export function badgeWords(view: LinkView): { text: string; open: boolean } {
  return view.state === 'open' ? { text: `${view.left} left`, open: true } : { text: SHORT[view.state], open: false };
}
