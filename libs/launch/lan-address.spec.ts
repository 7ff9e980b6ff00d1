import { describe, expect, it } from '@jest/globals';
import type { NetworkInterfaceInfo } from 'node:os';
import { lanAddressOf } from './lan-address.js';

const at = (address: string, internal = false): NetworkInterfaceInfo[] => [
  { address, internal, family: 'IPv4', netmask: '', mac: '', cidr: null },
];

describe('the address for other machines', () => {
  it('is that of a network, rather than that of containers on this machine', () => {
    const docker = { lo: at('127.0.0.1', true), docker0: at('172.17.0.1'), 'br-1a2b': at('172.18.0.1') };
    expect(lanAddressOf('0.0.0.0', { ...docker, wlan0: at('192.168.1.7') })).toBe('192.168.1.7');
    expect(lanAddressOf('0.0.0.0', docker)).toBe('172.17.0.1');
    expect(lanAddressOf('0.0.0.0', { lo: at('127.0.0.1', true) })).toBeUndefined();
  });

  it('is none where only this machine may ask', () => {
    expect(lanAddressOf('127.0.0.1', { wlan0: at('192.168.1.7') })).toBeUndefined();
  });
});
