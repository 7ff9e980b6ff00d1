import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

/** The program that comes with Prometheus. */
function promtool(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, {
    cwd: join(process.cwd(), 'observability'),
    encoding: 'utf8',
  });
  return { status, text: error ? String(error) : stdout + stderr };
}

describe('the alerts', () => {
  it('are rules that Prometheus takes', () => {
    const { status, text } = promtool('check', 'rules', 'alerts.yml');
    expect(text).toMatch(/SUCCESS: \d+ rules found/);
    expect(status).toBe(0);
  });

  it('come when they should, and not before', () => {
    expect(promtool('test', 'rules', 'alerts.test.yml')).toMatchObject({
      status: 0,
      text: expect.stringContaining('SUCCESS'),
    });
  });

  it('are part of a configuration that Prometheus takes', () => {
    // Prometheus finds the rules at a path of its container.
    expect(promtool('check', 'config', '--syntax-only', 'prometheus.yml')).toMatchObject({ status: 0 });
  });
});
