import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createLogger } from './logger.js';
import { endpointWork, logWork, loopbackUpstream, warmUp } from './warm-up.js';

const lines: string[] = [];
const logger = createLogger('ingress', 'info', { write: (line) => void lines.push(line) });

describe('a process that warms itself up', () => {
  it('does each work many times, and ends by itself', async () => {
    let done = 0;
    await warmUp([() => done++], logger);
    expect(done).toBe(600);
  });

  it('takes no longer than it may, also where a store does not answer', async () => {
    const begunMs = performance.now();
    await warmUp([() => sleep(60_000, undefined, { ref: false })], logger, 100);
    await warmUp([() => sleep(1)], logger, 100);
    expect(performance.now() - begunMs).toBeLessThan(5_000);
    expect(lines).toEqual([]);
  });

  it('starts although a work fails, and says so', async () => {
    await warmUp([() => Promise.reject(new Error('no port left'))], logger);
    expect(lines.join('')).toContain('no port left');
  });

  it('runs what calls run: each work still fits the code that it warms', async () => {
    endpointWork(new ContentBox(randomBytes(32)))();
    logWork()();
    const upstream = await loopbackUpstream();
    try {
      expect(JSON.parse((await upstream.ask()) as string)).toMatchObject({ object: 'chat.completion' });
      expect(await upstream.judge()).toMatchObject({ results: [{ flagged: false }] });
    } finally {
      upstream.close();
    }
  });
});
