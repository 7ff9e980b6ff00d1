/** A duration as OpenAI writes it: `120ms`, `1s`, `6m0s`. */
export function formatReset(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** The window forgets a request within this time (window.include.lua). */
const WINDOW_MS = 60_000;

/** The limits of a key, and the requests and tokens that its window counts. A limit of 0 is none. */
export interface KeyUse {
  rpm: number;
  tpm: number;
  requests: number;
  tokens: number;
}

/** What a key may still send within its window; null: it has no such limit. */
export function remaining({ rpm, tpm, requests, tokens }: KeyUse): { requests: number | null; tokens: number | null } {
  const left = (limit: number, used: number): number | null => (limit > 0 ? Math.max(0, limit - used) : null);
  return { requests: left(rpm, requests), tokens: left(tpm, tokens) };
}

/** The headers `x-ratelimit-*` of a key. A limit that it does not have has no header. */
export function limitHeaders(use: KeyUse): Record<string, string> {
  const headers: Record<string, string> = {};
  const add = (kind: 'requests' | 'tokens', limit: number, used: number): void => {
    if (limit <= 0) return;
    headers[`x-ratelimit-limit-${kind}`] = String(limit);
    headers[`x-ratelimit-remaining-${kind}`] = String(remaining(use)[kind]);
    headers[`x-ratelimit-reset-${kind}`] = formatReset(used > 0 ? WINDOW_MS : 0);
  };
  add('requests', use.rpm, use.requests);
  add('tokens', use.tpm, use.tokens);
  return headers;
}
