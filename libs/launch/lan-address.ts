import type { networkInterfaces } from 'node:os';

const ALL_ADDRESSES = ['0.0.0.0', '::'];

/**
 * Where other machines of this network reach what listens on `host`. undefined: nowhere, or the machine has no address
 * in a network.
 */
export function lanAddressOf(host: string, interfaces: ReturnType<typeof networkInterfaces>): string | undefined {
  if (!ALL_ADDRESSES.includes(host)) return undefined;
  const addresses = Object.values(interfaces).flatMap((ofOne) => ofOne ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}
