import type { LinkPageState, LinkState } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';

/** What a link's state depends on, beside the link. */
export interface LinkMoment {
  nowMs: number;
  campaignIsActive: boolean;
  /** The operator shut the door. */
  isShut: boolean;
  /** Accounting mends Redis. */
  isRecovering: boolean;
}

/** Links have 12 base62 characters, or a name that their operator chose. Nobody asks Redis about another one. */
export const isLinkToken = (token: string): boolean => /^[0-9A-Za-z-]{3,64}$/.test(token);

/** What stays comes first: an ended link has ended, whoever shut the door. */
export function stateOf(link: LinkState, moment: LinkMoment): LinkPageState {
  const { nowMs } = moment;
  const isOver = link.expires_ms > 0 && link.expires_ms <= nowMs;
  if (link.status === 'closed' || !moment.campaignIsActive || isOver) return 'ended';
  if (link.status === 'paused') return 'paused';
  if (link.starts_ms > nowMs) return 'not_started';
  if (link.claimed >= link.max_claims) return 'exhausted';
  if (link.budget_gone) return 'budget_gone';
  if (moment.isShut) return 'door_shut';
  return moment.isRecovering ? 'recovering' : 'open';
}

/**
 * Whether visitors may tell who they are: for a key, or for another virtual key in place of one that they lost. A link
 * without a key to give still helps the second.
 */
export const mayIdentify = (state: LinkPageState): boolean =>
  state === 'open' || state === 'exhausted' || state === 'budget_gone';

/** Why a link takes no claim now, where the link itself is the reason. */
export function linkRefusal(state: Exclude<LinkPageState, 'open' | 'door_shut' | 'recovering'>, link: LinkState) {
  switch (state) {
    case 'ended':
      return new DaypassError(
        'link_ended',
        'This link has ended: it gives out no more keys. Ask whoever gave it to you.',
      );
    case 'paused':
      return new DaypassError('link_paused', 'The operator has paused this link. Try again later.');
    case 'not_started': {
      const startsAt = new Date(link.starts_ms).toISOString();
      return new DaypassError('link_not_started', `This link gives out keys from ${startsAt} on. Come back then.`, {
        details: { starts_at: startsAt },
      });
    }
    case 'exhausted':
      return exhausted('claims', 'All keys of this link are taken.', link);
    case 'budget_gone':
      return exhausted('budget', 'The budget behind this link is spent.', link);
  }
}

const exhausted = (why: 'claims' | 'budget', message: string, { waitlist }: LinkState): DaypassError =>
  new DaypassError('claims_exhausted', `${message} Ask whoever gave you the link.`, { details: { why, waitlist } });

export function unknownLink(): DaypassError {
  return new DaypassError(
    'link_unknown',
    'There is no such link. Check the address for typing mistakes, or ask whoever gave it to you.',
  );
}
