/** Limits a minute as an upstream told them; 0: it did not. */
export interface Told {
  rpm: number;
  tpm: number;
}

interface Count {
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
  return { limit: limit === 0 ? undefined : limit, remaining };
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
