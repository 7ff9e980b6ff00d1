/** One server of several. */
export interface RedisNode {
  host: string;
  port: number;
}

interface Access {
  username?: string;
  password?: string;
  tls: boolean;
}

/** What a `REDIS_URL` names. */
export type RedisAddress = Access &
  (
    | { kind: 'socket'; path: string; db: number }
    | { kind: 'server'; host: string; port: number; db: number }
    | {
        kind: 'sentinel';
        /** The Sentinels, which have a user and a password of their own. */
        nodes: RedisNode[];
        sentinelUsername?: string;
        sentinelPassword?: string;
        /** The primary, as the Sentinels call it. */
        name: string;
        db: number;
      }
    | { kind: 'cluster'; nodes: RedisNode[] }
  );

const SERVER = 'redis://127.0.0.1:6379';
const SENTINEL = 'redis+sentinel://host:26379,host2:26379/mymaster/0';
const CLUSTER = 'redis+cluster://host:6379,host2:6379';
const KINDS = {
  redis: 'server',
  'redis+sentinel': 'sentinel',
  'redis+cluster': 'cluster',
} as const;
const PORTS = { server: 6379, sentinel: 26_379, cluster: 6379 };
const NODES_MAX = 32;
/** Scheme, user and password, hosts, path, parameters. A password may hold an `@`. */
const PARTS = /^([a-z+]+):\/\/(?:([^/?#]*)@)?([^/?#]*)([^?#]*)(?:\?([^#]*))?$/i;
const NODE = /^(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i;

/**
 * Reads `redis://`, `rediss://`, `unix:///path/of/its.sock?db=…`, `redis+sentinel://…/name/db` and `redis+cluster://…`.
 * The last two take several hosts, and `rediss+…` is the same with TLS. Prefect's integration documents this form for
 * Sentinel, and the Python package `limits` both.
 * @throws with what the address must be; the message repeats no part of it, because it may hold a password
 */
export function readRedisAddress(url: string): RedisAddress {
  const [, scheme = '', user, hosts = '', path = '', parameters = ''] = PARTS.exec(url) ?? [];
  const access = accessOf(scheme, user);
  const query = new URLSearchParams(parameters);
  if (/^unix$/i.test(scheme)) {
    if (path === '') throw new Error('must name the path of a socket, as unix:///run/redis.sock does');
    return { kind: 'socket', path: decoded(path), db: databaseOf(query.get('db') ?? ''), ...access };
  }
  const kind = KINDS[scheme.toLowerCase().replace(/^rediss/, 'redis') as keyof typeof KINDS];
  if (kind === undefined)
    throw new Error(`must be an address such as ${SERVER}, unix:///run/redis.sock, ${SENTINEL} or ${CLUSTER}`);
  const nodes = nodesOf(hosts, PORTS[kind]);
  const names = path.split('/').slice(1).map(decoded);
  if (kind === 'server') {
    if (nodes.length > 1) throw new Error(`must name one host. Several are ${SENTINEL} or ${CLUSTER}`);
    return { kind, ...nodes[0]!, db: databaseOf(names.join('/')), ...access };
  }
  const unknown = [...query.keys()].find((name) => kind === 'cluster' || !/^sentinel_(username|password)$/.test(name));
  if (unknown !== undefined)
    throw new Error(
      kind === 'cluster'
        ? 'must have no parameters'
        : 'takes no parameters but sentinel_username and sentinel_password',
    );
  if (kind === 'cluster') {
    if (names.some((name) => name !== '' && name !== '0'))
      throw new Error('must name no database, because a cluster has only the one with the number 0');
    return { kind, nodes, ...access };
  }
  const [name = '', db = '', ...more] = names;
  if (name === '' || more.length > 0)
    throw new Error(`must name the primary behind its hosts as the Sentinels call it: ${SENTINEL}`);
  const [sentinelUsername, sentinelPassword] = [query.get('sentinel_username'), query.get('sentinel_password')];
  return {
    kind,
    nodes,
    name,
    db: databaseOf(db),
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...access,
  };
}

function accessOf(scheme: string, user = ''): Access {
  const [, username = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(user) ?? [];
  return {
    ...(username === '' ? {} : { username: decoded(username) }),
    ...(password === '' ? {} : { password: decoded(password) }),
    tls: /^rediss/i.test(scheme),
  };
}

function nodesOf(hosts: string, usualPort: number): RedisNode[] {
  const parts = hosts.split(',');
  if (parts.length > NODES_MAX) throw new Error(`must name at most ${NODES_MAX} hosts`);
  return parts.map((part) => {
    const [, host, port = String(usualPort)] = NODE.exec(part.trim()) ?? [];
    if (host === undefined || Number(port) > 65_535 || Number(port) === 0)
      throw new Error('must name each host as host or host:port, with commas between them');
    // The brackets of an IPv6 address belong to the URL, not to the host.
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  });
}

function databaseOf(text: string): number {
  if (!/^\d{0,5}$/.test(text)) throw new Error('must end with the number of a database, such as /0, or without one');
  return Number(text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('must write a % in a user, password or name as %25');
  }
}
