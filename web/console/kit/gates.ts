import type { Settings } from '#libs/contracts/admin/console.js';
import type { Gate } from '#libs/contracts/claims.js';

interface GateWords {
  /** As a choice. */
  label: string;
  description: string;
  /** Of a link. */
  who: string;
  /** Of a claim. */
  how: string;
}

export const GATE_WORDS: Readonly<Record<Gate, GateWords>> = {
  pow: {
    label: 'Everybody with the link',
    description: 'No account. The visitor’s browser solves a small puzzle by itself, which slows down scripts.',
    who: 'everybody with the link',
    how: 'by the link',
  },
  github: {
    label: 'Whoever signs in with GitHub',
    description: 'One key for each account. Daypass learns its name, its number and its age, and nothing else.',
    who: 'accounts at GitHub',
    how: 'with GitHub',
  },
  email: {
    label: 'Whoever has an e-mail address',
    description: 'One key for each address. A mail brings six digits, which the visitor types.',
    who: 'e-mail addresses',
    how: 'by e-mail',
  },
  code: {
    label: 'Whoever has a one-time code',
    description: 'For workshops and invitations: you print or send a code for each person.',
    who: 'one-time codes',
    how: 'with a code',
  },
};

/** What this Daypass is set up for, and what a link has already. */
export const gatesOf = (gates: Settings['gates'] | undefined, has?: Gate): Gate[] =>
  (Object.keys(GATE_WORDS) as Gate[]).filter((gate) => gate === has || (gates?.[gate] ?? gate === 'pow'));

export const DAYS_MAX = 7_300;
export const domainsOf = (text: string): string[] => text.split(/[\s,;]+/).filter((domain) => domain !== '');
