/** Limits for a minute, as an upstream reports them; 0: it reports none. */
export interface ReportedLimits {
  rpm: number;
  tpm: number;
  /** Images. */
  ipm?: number | undefined;
}

export interface Count {
  requests: number;
  tokens: number;
}

export interface LimitReport {
  limits: ReportedLimits;
  /** What the upstream had counted when it answered, where Daypass had counted less when it sent the call; else 0. */
  used: Count;
}

const MOST = 1e12;
/** A smaller difference means nothing, because the upstream counts tokens by characters. */
const SLACK = 0.01;
const RESET_MAX_SECONDS = 65;

/** Reads the headers `x-ratelimit-*` of an answer. Malformed, negative and absurd values count as missing. */
export function readLimits(headers: Headers, counted: Count): LimitReport {
  const [requests, tokens] = [readPair(headers, 'requests'), readPair(headers, 'tokens')];
  const images = readPair(headers, 'images').limit;
  return {
    limits: { rpm: requests.limit ?? 0, tpm: tokens.limit ?? 0, ...(images === undefined ? {} : { ipm: images }) },
    used: { requests: usedBeyond(requests, counted.requests), tokens: usedBeyond(tokens, counted.tokens) },
  };
}

/** Whether the headers say that nothing is left of a limit. */
export function isUsedUp(headers: Headers): boolean {
  return ['requests', 'tokens', 'images'].some((of) => readCount(headers.get(`x-ratelimit-remaining-${of}`)) === 0);
}

interface Pair {
  limit: number | undefined;
  remaining: number | undefined;
}

function readPair(headers: Headers, of: 'requests' | 'tokens' | 'images'): Pair {
  const limit = readCount(headers.get(`x-ratelimit-limit-${of}`));
  const remaining = readCount(headers.get(`x-ratelimit-remaining-${of}`));
  if (limit === 0 || isOfDay(headers.get(`x-ratelimit-reset-${of}`))) return { limit: undefined, remaining: undefined };
  return { limit, remaining };
}

/** A limit that resets later than within a minute (`23h18m29.144s`) is for a longer time. */
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

/** A remainder above its limit proves nothing, nor does a missing count of Daypass' own. */
function usedBeyond({ limit, remaining }: Pair, ours: number): number {
  if (limit === undefined || remaining === undefined || remaining > limit || ours <= 0) return 0;
  const used = limit - remaining;
  return used - ours > limit * SLACK ? used : 0;
}
