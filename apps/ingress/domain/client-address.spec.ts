import { describe, expect, it } from '@jest/globals';
import { createSecretKey } from 'node:crypto';
import { addressTag, clientAddress, networkOf, tagEndsInMs } from './client-address.js';

describe('the address of a visitor', () => {
  it.each([
    ['without a proxy the header is the visitor’s own, and does not count', '203.0.113.9', 0, '10.0.0.1'],
    ['one proxy adds its caller at the end', '203.0.113.9', 1, '203.0.113.9'],
    ['what a visitor wrote itself stands further left', '1.1.1.1, 2.2.2.2, 203.0.113.9', 1, '203.0.113.9'],
    ['the outermost of two saw the visitor', '1.1.1.1, 203.0.113.9, 10.0.0.7', 2, '203.0.113.9'],
    ['a request that went past the outer proxy', '203.0.113.9', 2, '203.0.113.9'],
    ['an entry with a port', '203.0.113.9:4711', 1, '203.0.113.9'],
    ['an IPv6 entry with a port', '[2001:db8::1]:4711', 1, '2001:db8::1'],
    ['no address at all', 'unknown', 1, '10.0.0.1'],
    ['no header', undefined, 1, '10.0.0.1'],
  ])('%s', (_, header, hops, address) => {
    expect(clientAddress(header, '10.0.0.1', hops)).toBe(address);
  });

  it('is an IPv4 address, or the /64 of an IPv6 address', () => {
    expect(networkOf('203.0.113.9')).toBe('203.0.113.9');
    expect(networkOf('::ffff:203.0.113.9')).toBe('203.0.113.9');
    expect(networkOf('::ffff:cb00:7109')).toBe('203.0.113.9');
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:DB8:1:2::6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
    for (const none of ['', '203.0.113', '203.0.113.256', 'example.org', '2001:db8', ':::', '1::2::3', 'a:b'])
      expect([none, networkOf(none)]).toEqual([none, null]);
  });

  it('becomes a tag that another day, or another secret, does not have', () => {
    const [pepper, other] = ['a', 'b'].map((byte) => createSecretKey(Buffer.alloc(32, byte))) as [never, never];
    const day = 20_000 * 86_400_000;
    const tag = addressTag('203.0.113.9', pepper, day);
    expect(tag).toMatch(/^[\w-]{22}$/);
    expect(addressTag('::ffff:203.0.113.9', pepper, day + 86_399_999)).toBe(tag);
    expect(addressTag('2001:db8::1', pepper, day)).toBe(addressTag('2001:db8::ffff', pepper, day));
    for (const one of [
      addressTag('203.0.113.8', pepper, day),
      addressTag('203.0.113.9', pepper, day + 86_400_000),
      addressTag('203.0.113.9', other, day),
    ])
      expect(one).not.toBe(tag);
    expect([tagEndsInMs(day), tagEndsInMs(day + 86_399_000)]).toEqual([86_400_000, 1_000]);
  });
});
