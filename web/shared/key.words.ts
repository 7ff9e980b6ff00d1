import type { HeldKey, Refusal } from '#libs/contracts/held-key.js';
import { explain } from '#libs/contracts/help.js';
import { nanoOf } from './money.js';
import type { Tone } from './parts.js';

/** What the page says of a key beside its numbers. */
export type KeyState = 'active' | 'empty' | 'resting' | 'spent' | Exclude<HeldKey['status'], 'active'>;

export interface KeyWords {
  tone: Tone;
  badge: string;
  title: string | null;
  text: string;
}

export function stateOf(key: HeldKey): KeyState {
  if (key.status === 'suspended') return key.suspended_until === null ? 'suspended' : 'resting';
  if (key.status !== 'active') return key.status;
  if (nanoOf(key.spent_usd) >= nanoOf(key.budget_usd)) return 'spent';
  return key.campaign_available ? 'active' : 'empty';
}

export const hasEnded = ({ status }: HeldKey): boolean =>
  status === 'revoked' || status === 'expired' || status === 'campaign_closed';

export const KEY_WORDS: Readonly<Record<KeyState, KeyWords>> = {
  active: { tone: 'good', badge: 'active', title: null, text: '' },
  empty: {
    tone: 'warn',
    badge: 'project empty',
    title: 'The project has no free money for now.',
    text: 'Your key has money left, and the whole project has none. Calls begin again when running calls end or the operator adds money.',
  },
  not_started: {
    tone: 'calm',
    badge: 'not started',
    title: 'The time of your key has not begun.',
    text: 'Calls before it are refused and cost nothing.',
  },
  resting: {
    tone: 'warn',
    badge: 'resting',
    title: 'Your key rests.',
    text: 'Guards refused several of your inputs. Calls are refused until the rest is over. More refused inputs suspend your key.',
  },
  suspended: {
    tone: 'bad',
    badge: 'suspended',
    title: 'Your key is suspended.',
    text: 'The operator or the guards stopped it, and only the operator can let it go on. Write to the contact of this project.',
  },
  spent: {
    tone: 'warn',
    badge: 'spent',
    title: 'The budget of your key is spent.',
    text: 'It makes no more calls. If you want to go on, ask the project for another key, or use a key of your own from OpenAI: only the base URL and the key change.',
  },
  expired: {
    tone: 'calm',
    badge: 'expired',
    title: 'The time of your key is over.',
    text: 'It makes no more calls. Your calls and the balance stay visible here.',
  },
  revoked: {
    tone: 'calm',
    badge: 'ended',
    title: 'Your key has ended.',
    text: 'You or the operator ended it. It makes no more calls.',
  },
  campaign_closed: {
    tone: 'calm',
    badge: 'project closed',
    title: 'The project has ended its free keys.',
    text: 'Your key makes no more calls.',
  },
};

/** `moderation_blocked (violence)`, or which budget was empty. */
export function refusalName({ code, details }: Refusal): string {
  const { categories, level } = details ?? {};
  if (Array.isArray(categories) && categories.length > 0) return `${code} (${categories.slice(0, 5).join(', ')})`;
  return typeof level === 'string' ? `${code} (${level})` : code;
}

export function refusalAdvice({ code, details }: Refusal): string {
  if (code === 'insufficient_quota' && (details?.level === 'campaign' || details?.level === 'operator'))
    return 'Your key has money, and the project had none free. Try again later, or write to the contact of this project.';
  return explain(code).now;
}

const RESULTS: Readonly<Record<string, string>> = { posted: 'done', voided: 'no answer', blocked: 'refused' };
export const resultWords = (result: string): string => RESULTS[result] ?? result.replaceAll('_', ' ');
