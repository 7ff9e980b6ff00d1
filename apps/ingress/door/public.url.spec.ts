import { describe, expect, it } from '@jest/globals';
import { publicUrlOf } from './public.url.js';

const visitors = { port: 8080, proxyHops: 0 };
const at = (host: string | undefined, publicUrl?: string): string => publicUrlOf({ host }, { publicUrl, visitors });

describe('the public address', () => {
  it('is what the operator set, whatever the request names', () => {
    expect(at('evil.example', 'https://try.example.org')).toBe('https://try.example.org');
  });

  it.each([
    ['192.168.1.7:8080', 'http://192.168.1.7:8080'],
    ['Localhost:8080', 'http://localhost:8080'],
    ['[fe80::1]:8080', 'http://[fe80::1]:8080'],
  ])('follows the host %s of the request', (host, expected) => {
    expect(at(host)).toBe(expected);
  });

  it('has TLS where a proxy of the operator says so, and nobody else', () => {
    const headers = { host: 'try.example.org', 'x-forwarded-proto': 'https' };
    expect(publicUrlOf(headers, { publicUrl: undefined, visitors })).toBe('http://try.example.org');
    const behind = { ...visitors, proxyHops: 1 };
    expect(publicUrlOf(headers, { publicUrl: undefined, visitors: behind })).toBe('https://try.example.org');
  });

  it.each([undefined, '', 'a"b', 'a/b', 'user@host', 'a b', 'x'.repeat(300), '<script>'])(
    'is this machine’s where the host is %j',
    (host) => {
      expect(at(host)).toBe('http://localhost:8080');
    },
  );
});
