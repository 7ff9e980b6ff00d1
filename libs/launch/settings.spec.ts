import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { freePort, freePortBase } from './free-port.js';
import { SERVICES } from '#libs/config/config.js';
import { environmentSchema } from '#libs/config/environment.js';
import { checkPorts, readSettings, settingsOfAll, settingsOfOne } from './settings.js';

async function listening(port: number): Promise<{ port: number; server: Server }> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, server };
}

describe('the settings of a start', () => {
  it('are complete without any', () =>
    expect(readSettings({})).toMatchObject({
      visitorsPort: 8080,
      adminPort: 8081,
      rehearsed: true,
      redisFsync: 'everysec',
    }));

  it('may have every booking wait for the disk', () => {
    expect(readSettings({ DAYPASS_REDIS_FSYNC: 'always' }).redisFsync).toBe('always');
    expect(() => readSettings({ DAYPASS_REDIS_FSYNC: 'never' })).toThrow(
      'DAYPASS_REDIS_FSYNC must be "everysec" or "always"',
    );
  });

  it('that are wrong are all named at once, also those that only a service would find', () => {
    expect(() =>
      readSettings({ DAYPASS_SECRET: 'short', DAYPASS_LOG_LEVEL: 'loud', DAYPASS_ADMIN_TOKEN: 'x' }),
    ).toThrow(/3 settings are wrong:[^]*DAYPASS_SECRET[^]*DAYPASS_ADMIN_TOKEN[^]*DAYPASS_LOG_LEVEL/);
  });

  it('all come to a service, those of one service to it alone', () => {
    const environment = Object.fromEntries(Object.keys(environmentSchema.shape).map((name) => [name, name]));
    const [all, one] = [settingsOfAll(environment), settingsOfOne(environment)];
    // The launcher sets these itself, so that no service asks for a file. The exporter of traces reads its own variables.
    const byItself = [
      'OPENAI_API_KEY',
      'OPENAI_API_KEY_FILE',
      'REDIS_URL_FILE',
      'DATABASE_URL_FILE',
      'DAYPASS_REHEARSAL_URL',
      'OPENAI_BASE_URL',
      'REDIS_URL',
      'DATABASE_URL',
      'DAYPASS_ADMIN_TOKEN',
      'DAYPASS_OPS_PORT',
    ];
    const passed = [...byItself, ...Object.keys(all), ...SERVICES.flatMap((service) => Object.keys(one[service]!))];
    expect(Object.keys(environment).filter((name) => !passed.includes(name) && !name.startsWith('OTEL_'))).toEqual([]);
    expect(new Set(passed).size).toBe(passed.length);
    expect(one).toMatchObject({
      ingress: { OPENAI_WEBHOOK_SECRET: expect.any(String) },
      accounting: { OPENAI_SAFETY_KEY: expect.any(String) },
    });
    expect(one.moderation).toEqual({});
  });

  it('may not give one port to two', async () => {
    const port = String(await freePort());
    await expect(
      checkPorts(readSettings({ DAYPASS_HOST: '127.0.0.1', DAYPASS_PORT: port, DAYPASS_ADMIN_PORT: port })),
    ).rejects.toThrow(`DAYPASS_PORT and DAYPASS_ADMIN_PORT both take port ${port}`);
  });

  it('get one suggestion for all ports in use, with which the next start works', async () => {
    const servers = await Promise.all([0, 0].map(listening));
    const base = await freePortBase(4);
    const third = await listening(base + 2);
    const env = {
      DAYPASS_HOST: '127.0.0.1',
      DAYPASS_PORT: String(servers[0]!.port),
      DAYPASS_ADMIN_PORT: String(servers[1]!.port),
      DAYPASS_OPS_PORT_BASE: String(base),
    };
    try {
      const error = (await checkPorts(readSettings(env)).catch((thrown: unknown) => thrown)) as Error;
      for (const { port } of [...servers, third]) expect(error.message).toContain(`port ${port} is in use (DAYPASS_`);
      const lines = error.message.split('\n').filter((line) => line.endsWith(' npm start'));
      expect(lines).toHaveLength(1);
      const told = Object.fromEntries(
        lines[0]!
          .split(' ')
          .slice(0, -2)
          .map((pair) => pair.split('=')),
      );
      expect(Object.keys(told)).toEqual(['DAYPASS_PORT', 'DAYPASS_ADMIN_PORT', 'DAYPASS_OPS_PORT_BASE']);
      await checkPorts(readSettings({ ...env, ...told }));
    } finally {
      for (const { server } of [...servers, third]) server.close();
    }
  });

  it('bound the memory of a Redis of our own, always', () => {
    expect(Number(readSettings({}).redisMaxMemory)).toBeGreaterThanOrEqual(256 * 2 ** 20);
    expect(readSettings({ DAYPASS_REDIS_MAXMEMORY: '700mb' }).redisMaxMemory).toBe('700mb');
    for (const wrong of ['0', 'much', '-1', '1tb'])
      expect(() => readSettings({ DAYPASS_REDIS_MAXMEMORY: wrong })).toThrow('must be a size such as 700mb');
  });
});
