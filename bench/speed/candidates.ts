import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#libs/launch/free-port.js';
import { asResponse, bodyOf, PRODUCTION, serve, type Served } from './harness.ts';
import type { Hosted } from './host.ts';
import { startPeer, type PeerWish } from './peers.ts';
import type { Names } from './processes.ts';
import { BARE, BESIDE, JUDGED, RESPONSES, UNJUDGED, UPSTREAM } from './results.ts';
import { MANY, ONE, type Workload } from './workloads.ts';

export interface Candidate {
  name: string;
  /** Of chat completions or responses. */
  url: string;
  tokenFor(workload: Workload): string;
  bodiesFor(workload: Workload): string[];
  headers: Record<string, string>;
  /** Its processes. The upstream and the load share the machine with them. */
  processes: { root: number; names: Names } | undefined;
  /** The Redis of a Daypass, whose books have to be drained before the next candidate. */
  redis?: Redis;
  takes(workload: Workload): boolean;
}

const HERE = import.meta.dirname;
export const SERVICES: Names = {
  ingress: /apps\/ingress\/main/,
  moderation: /apps\/moderation\/main/,
  forwarding: /apps\/forwarding\/main/,
  accounting: /apps\/accounting\/main/,
};
const DAYPASS: Names = { ...SERVICES, redis: /redis-server/, postgres: /postgres/, launcher: /speed\/host/ };
const ANY = 'sk-bench';

const chats = ({ promptBytes, kind }: Workload, model?: string): string[] =>
  promptBytes.map((bytes) => bodyOf(bytes, kind === 'streams', model));

/** A Daypass of its own with empty stores. */
export async function startHost(upstream: string): Promise<{ candidates: Candidate[]; end: () => Promise<void> }> {
  const { said, pid, end } = await serve(process.execPath, [join(HERE, 'host.ts'), upstream]);
  const { url, redisUrl, tokens } = JSON.parse(said) as Hosted;
  const redis = new Redis(redisUrl);
  const chat = `${url}/chat/completions`;
  const same = {
    headers: {},
    processes: { root: pid, names: DAYPASS },
    redis,
    bodiesFor: (workload: Workload) => chats(workload),
  };
  return {
    candidates: [
      {
        ...same,
        name: JUDGED,
        url: chat,
        tokenFor: ({ kind }) => (kind === 'calls' ? tokens.whole : tokens.windows),
        takes: () => true,
      },
      { ...same, name: UNJUDGED, url: chat, tokenFor: () => tokens.unjudged, takes: () => true },
      {
        ...same,
        name: RESPONSES,
        url: `${url}/responses`,
        tokenFor: () => tokens.whole,
        bodiesFor: (workload) => chats(workload).map((body) => asResponse(body)),
        takes: (workload) => workload === MANY,
      },
    ],
    end: async () => {
      redis.disconnect();
      await end();
    },
  };
}

/** What a user would pick instead, and the least that there is. */
export async function startOthers(upstream: string, peers: readonly PeerWish[]): Promise<Candidate[]> {
  const chat = (origin: string): string => `${origin}/v1/chat/completions`;
  const plain = {
    tokenFor: () => ANY,
    bodiesFor: (workload: Workload) => chats(workload),
    headers: {},
    takes: () => true,
  };
  const tree = ({ pid }: { pid: number }, name: string): Candidate['processes'] => ({
    root: pid,
    names: { [name]: /./ },
  });
  const [portkey, bare] = await Promise.all([
    startPortkey(),
    serve(process.execPath, [join(HERE, 'passthrough.ts'), upstream]),
  ]);
  const started = await Promise.all(peers.map((peer) => startPeer(peer, upstream)));
  return [
    {
      ...plain,
      name: BESIDE,
      url: chat(portkey.origin),
      headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` },
      processes: tree(portkey, 'portkey'),
    },
    { ...plain, name: BARE, url: chat(`http://127.0.0.1:${bare.said}`), processes: tree(bare, 'bare') },
    ...started.map((peer) => ({
      ...plain,
      name: peer.name,
      url: `${peer.url}/chat/completions`,
      tokenFor: () => peer.token,
      bodiesFor: (workload: Workload) => chats(workload, peer.model),
      headers: peer.headers,
      processes: tree(peer, 'peer'),
    })),
    { ...plain, name: UPSTREAM, url: chat(upstream), processes: undefined, takes: (workload) => workload === ONE },
  ];
}

/** As its documentation says, with the versions that its streams work with; installed beside its package.json at the first run. */
async function startPortkey(): Promise<Served & { origin: string }> {
  const folder = join(HERE, 'portkey');
  if (!existsSync(join(folder, 'node_modules'))) {
    const { status } = spawnSync(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
      { cwd: folder, stdio: 'inherit' },
    );
    if (status !== 0) throw new Error('Portkey could not be installed: is the npm registry reached?');
  }
  const port = await freePort();
  const served = await serve(
    process.execPath,
    [join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js'), `--port=${port}`, '--headless'],
    PRODUCTION,
  );
  return { ...served, origin: `http://127.0.0.1:${port}` };
}
