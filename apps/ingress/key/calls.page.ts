import { DaypassError } from '#libs/contracts/errors.js';

export const CALLS_PAGE_DEFAULT = 25;
export const CALLS_PAGE_MAX = 100;
const CURSOR_CHARACTERS_MAX = 500;

/** Which of a key's calls a query asks for. @throws DaypassError that names the parameter at fault */
export function callsPageOf(query: Record<string, unknown>): { cursor: string | null; limit: number } {
  const { cursor, limit, ...others } = query;
  const [other] = Object.keys(others);
  if (other !== undefined)
    throw new DaypassError('unknown_parameter', `There is no parameter '${other.slice(0, 64)}' here.`, {
      param: other,
    });
  if (cursor !== undefined && (typeof cursor !== 'string' || cursor.length > CURSOR_CHARACTERS_MAX))
    throw new DaypassError('invalid_request', "The cursor is the 'next_cursor' of the page before.", {
      param: 'cursor',
    });
  const count = limit === undefined ? CALLS_PAGE_DEFAULT : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > CALLS_PAGE_MAX)
    throw new DaypassError('invalid_request', `The limit is a number from 1 to ${CALLS_PAGE_MAX}.`, { param: 'limit' });
  return { cursor: cursor ?? null, limit: count };
}
