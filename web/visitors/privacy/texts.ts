import type { PrivacyView } from '#libs/contracts/claims.js';

export const INPUT_WORDS: Readonly<Record<string, string>> = {
  gate: 'checked before a model sees them',
  parallel: 'checked while a model answers, and you see nothing before the verdict',
  observe: 'checked, and never stopped',
  off: 'not checked',
};
export const OUTPUT_WORDS: Readonly<Record<string, string>> = {
  gate: 'checked before you see them',
  window: 'checked piece by piece before you see them',
  trail: 'checked while you read them',
  observe: 'checked, and never stopped',
  off: 'not checked',
};

/** For how long Daypass keeps prompts and answers. Without a link nobody knows whose campaign it is about. */
export function keptFor(link: PrivacyView['link']): string {
  if (link === null)
    return 'for 90 days, unless the operator sets another time for a campaign. The page of your key shows yours';
  const { retention_days: days } = link.recorded;
  if (days === null) return 'until somebody deletes them: the operator set no time';
  return `for ${days} ${days === 1 ? 'day' : 'days'}`;
}

export interface Recorded {
  what: string;
  how: string;
  howLong: string;
}

export const recordedOf = (link: PrivacyView['link']): readonly Recorded[] => [
  {
    what: 'Prompts and answers',
    how: 'Encrypted with a secret of your own. The operator can read them, for example after a refusal.',
    howLong: `Kept ${keptFor(link)}.`,
  },
  {
    what: 'Verdicts on them',
    how: 'Scores and categories of the checks, without your text.',
    howLong: 'They stay, as a proof of what was decided.',
  },
  {
    what: 'Calls and their cost',
    how: 'Time, model, number of tokens and price, under the number of your key.',
    howLong: 'They stay: they are the books.',
  },
  {
    what: 'Your claim',
    how: 'When your key was made and by which link. A tag stands for your network address, and changes each day. The address itself is not stored.',
    howLong: 'The claim stays.',
  },
  {
    what: 'Who you are, where a link asks',
    how: 'A hash of your account at GitHub or of your e-mail address, so that everybody gets a fair share. Beside it the name or the address, encrypted with a secret of your own.',
    howLong: 'The hash stays. The name or the address goes when your texts are deleted.',
  },
  {
    what: 'Your key',
    how: 'As a hash alone. Nobody can read the key from it, and a lost key cannot be shown again.',
    howLong: 'The hash stays, also after the end of the key.',
  },
  {
    what: 'Answers for repeats, stored responses and conversations',
    how: 'Encrypted, and only where your program asks for them.',
    howLong: 'Kept for 24 hours, or until your key ends.',
  },
  {
    what: 'In this browser',
    how: 'A cookie for 15 minutes where you sign in, and no other. This tab keeps your key, and this device does where you tick “remember”.',
    howLong: 'It goes when you close the tab or press “Forget”.',
  },
];
