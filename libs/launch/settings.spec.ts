import { describe, expect, it } from '@jest/globals';
import { freePort } from './free-port.js';
import { SERVICES } from '#libs/config/config.js';
import { environmentSchema } from '#libs/config/environment.js';
import { checkPorts, readSettings, settingsOfAll, settingsOfOne } from './settings.js';

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
    // The launcher sets these itself. The exporter of traces reads its own variables.
    const byItself = [
      'OPENAI_API_KEY',
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
      checkPorts(readSettings({ DAYPASS_PORT: port, DAYPASS_ADMIN_PORT: port }), '127.0.0.1'),
    ).rejects.toThrow(`DAYPASS_PORT and DAYPASS_ADMIN_PORT both take port ${port}`);
  });
});
