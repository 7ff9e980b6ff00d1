import { spawnSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { createLogger, gatherLines, NestLogger } from './logger.js';

const SECRET = 'sk-hunter2';

function logged(say: (logger: ReturnType<typeof createLogger>) => void, level = 'trace'): Record<string, unknown>[] {
  const lines: string[] = [];
  say(createLogger('ingress', level, { write: (line) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a log line', () => {
  it('is JSON with its service, its level by name and an ISO time', () => {
    expect(logged((logger) => logger.info({ requestId: 'r', keyId: 'k' }, 'call'))).toEqual([
      {
        level: 'info',
        service: 'ingress',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        requestId: 'r',
        keyId: 'k',
        msg: 'call',
      },
    ]);
  });

  it('below the level is not written', () => {
    expect(logged((logger) => logger.info('quiet'), 'warn')).toEqual([]);
  });

  it.each(['authorization', 'headers', 'body'])('shows no %s, at the top or one step down', (name) => {
    const text = JSON.stringify(
      logged((logger) => logger.info({ [name]: SECRET, request: { [name]: { deep: SECRET } } }, 'oops')),
    );
    expect(text).not.toContain(SECRET);
    expect(text).toContain('[redacted]');
  });

  it('has of an error its type, message, stack and code', () => {
    const error = Object.assign(new TypeError('could not connect'), { code: 'ECONNREFUSED' });
    expect(logged((logger) => logger.error({ err: error }, 'failed'))[0]!.err).toEqual({
      type: 'TypeError',
      message: 'could not connect',
      stack: expect.stringContaining('logger.spec'),
      code: 'ECONNREFUSED',
    });
  });

  it('shows nothing of what a Redis command carried when it failed', () => {
    const error = Object.assign(new Error('ERR Error running script'), {
      command: { name: 'evalsha', args: [SECRET, Buffer.from(SECRET)] },
    });
    const text = JSON.stringify(logged((logger) => logger.error({ err: error }, 'failed')));
    expect(text).toContain('ERR Error running script');
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain('"data":[');
  });

  it('shows nothing of what a query carried when it failed', () => {
    const error = Object.assign(new Error('duplicate key'), {
      query: 'INSERT',
      parameters: [SECRET],
      driverError: { detail: SECRET },
    });
    expect(JSON.stringify(logged((logger) => logger.error({ err: error }, 'failed')))).not.toContain(SECRET);
  });

  it('shows nothing of what the upstream answered beside the message', () => {
    const error = new OpenAI.APIError(
      400,
      { message: SECRET, param: SECRET },
      'bad request',
      new Headers({ authorization: SECRET }),
    );
    const [line] = logged((logger) =>
      logger.error({ err: Object.assign(error, { message: '400', stack: '' }) }, 'failed'),
    );
    expect(JSON.stringify(line)).not.toContain(SECRET);
    expect(line).toMatchObject({ err: { message: '400' } });
  });

  it('survives what was thrown without being an error', () => {
    expect(logged((logger) => logger.error({ err: 'a string' }, 'failed'))[0]).toMatchObject({ err: 'a string' });
    expect(logged((logger) => logger.error({ err: undefined }, 'failed'))).toHaveLength(1);
  });
});

describe('lines of one turn', () => {
  it('leave in one write, in their order, and at once where the process ends', async () => {
    const writes: string[] = [];
    const gathered = gatherLines({ write: (text) => void writes.push(text) });
    for (const line of ['a\n', 'b\n']) gathered.write(line);
    expect(writes).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(writes).toEqual(['a\nb\n']);
    gathered.write('c\n');
    gathered.flushSync();
    await new Promise((resolve) => setImmediate(resolve));
    expect(writes).toEqual(['a\nb\n', 'c\n']);
  });

  it('are not lost with a process that ends in the middle of one', () => {
    const script = `import { createLogger } from '#libs/service/logger.js'; createLogger('ingress', 'info').info('last words'); process.exit(0);`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(stdout).toContain('last words');
  });
});

describe("Nest's own words", () => {
  it('go through the same logger: chatter as debug, the rest as it is', () => {
    const lines = logged((logger) => {
      const nest = new NestLogger(logger);
      nest.log('module loaded', 'InstanceLoader');
      nest.warn('deprecated', 'Router');
      nest.error('failed', 'stack…', 'Injector');
    });
    expect(lines.map(({ level, msg, context }) => [level, msg, context])).toEqual([
      ['debug', 'module loaded', 'InstanceLoader'],
      ['warn', 'deprecated', 'Router'],
      ['error', 'failed', 'Injector'],
    ]);
  });
});
