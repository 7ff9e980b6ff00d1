/** Any port of this machine, which an app on a desk has: `http://localhost:*`, or with the path that it must be. */
const ANY_PORT = /^(http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\*(\/[^*]*)?$/;
const URI_MAX = 2_000;

/** Reads an address that an app gets its code at. null: a code must not go there. */
export function readRedirectUri(text: string): URL | null {
  if (text.length > URI_MAX || text.includes('#') || !URL.canParse(text)) return null;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' ? url : null;
}

/** Whether an operator may allow it: an address, or any port of this machine. */
export function isRedirectPattern(text: string): boolean {
  const loopback = ANY_PORT.exec(text);
  const uri = loopback ? `${loopback[1]}${loopback[2] ?? ''}` : text;
  return !uri.includes('*') && readRedirectUri(uri) !== null;
}

/** Compares whole addresses: `https://app.example.org/start` allows no other path and no other query. */
export function mayRedirectTo(uri: URL, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const loopback = ANY_PORT.exec(pattern);
    if (loopback === null) return readRedirectUri(pattern)?.href === uri.href;
    const [, origin = '', path] = loopback;
    if (`${uri.protocol}//${uri.hostname}` !== origin) return false;
    return path === undefined || new URL(origin + path).href === `${origin}${uri.pathname}${uri.search}`;
  });
}
