import type { networkInterfaces } from 'node:os';

const ALL_ADDRESSES = ['0.0.0.0', '::'];
/** Of containers and virtual machines on this machine: no telephone reaches them. */
const OWN_NETWORK = /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|podman|bridge|tailscale|utun)/;

/**
 * Where other machines of this network reach what listens on `host`. undefined: nowhere, or the machine has no address
 * in a network.
 */
export function lanAddressOf(host: string, interfaces: ReturnType<typeof networkInterfaces>): string | undefined {
  if (!ALL_ADDRESSES.includes(host)) return undefined;
  const names = Object.keys(interfaces).toSorted((a, b) => Number(OWN_NETWORK.test(a)) - Number(OWN_NETWORK.test(b)));
  const addresses = names.flatMap((name) => interfaces[name] ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

/** The origin of the visitors' port for those machines. */
export const networkUrlOf = (lanAddress: string | undefined, visitorsPort: number): string | undefined =>
  lanAddress === undefined ? undefined : `http://${lanAddress}:${visitorsPort}`;
