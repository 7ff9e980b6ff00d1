/** A duration as OpenAI writes it: `120ms`, `1s`, `6m0s`. */
export function formatReset(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** The window forgets a request within this time. */
const WINDOW_MS = 61_000;

export interface KeyUse {
  rpm: number;
  tpm: number;
  requests: number;
  tokens: number;
}

/** The headers `x-ratelimit-*` of a key. A limit of 0 is none, and has no header. */
export function limitHeaders(use: KeyUse): Record<string, string> {
  const headers: Record<string, string> = {};
  const add = (kind: 'requests' | 'tokens', limit: number, used: number): void => {
    if (limit <= 0) return;
    headers[`x-ratelimit-limit-${kind}`] = String(limit);
    headers[`x-ratelimit-remaining-${kind}`] = String(Math.max(0, limit - used));
    headers[`x-ratelimit-reset-${kind}`] = formatReset(used > 0 ? WINDOW_MS : 0);
  };
  add('requests', use.rpm, use.requests);
  add('tokens', use.tpm, use.tokens);
  return headers;
}
