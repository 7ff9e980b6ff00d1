/** Limits a minute as an upstream told them; 0: it did not. */
export interface Told {
  rpm: number;
  tpm: number;
}

export interface Count {
  requests: number;
  tokens: number;
}

export interface News {
  told: Told;
  /** What the upstream had counted when it answered, where that is more than what we had counted when the call was sent. */
  used: Count;
  isNews: boolean;
}

const MOST = 1e12;
/** The upstream counts tokens by characters, so that a small difference means nothing. */
const SLACK = 0.01;
const RESET_MAX_SECONDS = 65;

/** What `x-ratelimit-*` of an answer says that was not known. What is malformed, negative or absurd says nothing. */
export function newsOf(headers: Headers, known: Told, counted: Count, fixed: boolean): News {
  const [requests, tokens] = [readPair(headers, 'requests'), readPair(headers, 'tokens')];
  const told = { rpm: requests.limit ?? known.rpm, tpm: tokens.limit ?? known.tpm };
  const used = { requests: usedBeyond(requests, counted.requests), tokens: usedBeyond(tokens, counted.tokens) };
  const isNews = (!fixed && (told.rpm !== known.rpm || told.tpm !== known.tpm)) || used.requests > 0 || used.tokens > 0;
  return { told, used, isNews };
}

interface Pair {
  limit: number | undefined;
  remaining: number | undefined;
}

function readPair(headers: Headers, of: 'requests' | 'tokens'): Pair {
  const limit = readCount(headers.get(`x-ratelimit-limit-${of}`));
  const remaining = readCount(headers.get(`x-ratelimit-remaining-${of}`));
  if (limit === 0 || isOfDay(headers.get(`x-ratelimit-reset-${of}`))) return { limit: undefined, remaining: undefined };
  return { limit, remaining };
}

/** What comes back later than within a minute (`23h18m29.144s`) is a limit of a longer time. */
function isOfDay(reset: string | null): boolean {
  const [, hours, minutes, seconds] =
    /^(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?$/.exec(reset?.trim() ?? '') ?? [];
  return Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0) > RESET_MAX_SECONDS;
}

function readCount(text: string | null): number | undefined {
  if (text === null || !/^\d{1,13}$/.test(text.trim())) return undefined;
  const count = Number(text);
  return count <= MOST ? count : undefined;
}

/** A remainder above its limit, or a count of ours that is not known, proves nothing. */
function usedBeyond({ limit, remaining }: Pair, ours: number): number {
  if (limit === undefined || remaining === undefined || remaining > limit || ours <= 0) return 0;
  const used = limit - remaining;
  return used - ours > limit * SLACK ? used : 0;
}
