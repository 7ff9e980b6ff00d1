import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ensureDemo, type Demo } from './demo.js';

interface Asked {
  method: string;
  path: string;
  body: Record<string, unknown>;
}

/** What the admin API answers to a start, and what it was asked. */
class AdminDouble {
  readonly writes: Asked[] = [];
  readonly links: Record<string, unknown>[] = [];
  private campaign: Record<string, unknown> | undefined;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      void (async () => {
        const method = request.method!;
        const body = method === 'POST' ? ((await json(request).catch(() => ({}))) as Record<string, unknown>) : {};
        const asked = { method, path: request.url!.replace(/\?.*/, ''), body };
        if (method === 'POST') this.writes.push(asked);
        const [status, answer] = this.answer(asked);
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      })();
    });
  }

  async listen(): Promise<string> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
  }

  private answer({ method, path, body }: Asked): [number, object] {
    switch (`${method} ${path}`) {
      case 'GET /admin/v1/campaigns/demo':
        return this.campaign ? [200, this.campaign] : [404, {}];
      case 'POST /admin/v1/campaigns':
        this.campaign = body;
        return [201, body];
      case 'GET /admin/v1/keys':
        return [200, { data: [] }];
      case 'POST /admin/v1/keys':
        return [201, { id: 'key_1', key: 'dp_demo' }];
      case 'GET /admin/v1/keys/key_1':
        return [200, { id: 'key_1', status: 'active' }];
      case 'GET /admin/v1/campaigns/demo/links':
        return [200, { data: this.links }];
      case 'POST /admin/v1/campaigns/demo/links':
        this.links.push(body);
        return [201, body];
      case 'POST /admin/v1/session/links':
        return [201, { data: { url: 'http://127.0.0.1:8081/console/login#code=once' } }];
      default:
        return [500, { path }];
    }
  }
}

describe('the demo of a start', () => {
  let admin: AdminDouble;
  let folder: string;
  let start: () => Promise<Demo>;
  beforeEach(async () => {
    admin = new AdminDouble();
    folder = mkdtempSync(join(tmpdir(), 'daypass-demo-'));
    const url = await admin.listen();
    start = () => ensureDemo(url, 'token', folder);
  });
  afterEach(() => {
    admin.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has a key, a claim link that any number of one address may use, and a link to the console on localhost', async () => {
    expect(await start()).toEqual({
      id: 'key_1',
      key: 'dp_demo',
      claimPath: '/c/demo',
      signInUrl: 'http://localhost:8081/console/login#code=once',
    });
    expect(admin.links).toEqual([expect.objectContaining({ token: 'demo', gates: ['pow'], per_ip_per_day: 0 })]);
  });

  it('stays over starts: only the link to the console is new', async () => {
    await start();
    admin.writes.length = 0;
    expect((await start()).key).toBe('dp_demo');
    expect(admin.writes.map(({ path }) => path)).toEqual(['/admin/v1/session/links']);
  });

  it('leaves a link alone that the operator closed, and makes it where other links are', async () => {
    admin.links.push({ token: 'other' }, { token: 'demo', status: 'closed' });
    await start();
    expect(admin.links).toHaveLength(2);
    admin.links.pop();
    await start();
    expect(admin.links.map(({ token }) => token)).toEqual(['other', 'demo']);
  });
});
