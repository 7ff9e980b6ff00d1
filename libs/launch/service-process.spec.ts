import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { PROJECT_ROOT } from './project-root.js';
import { NODE_FLAGS, ServiceProcess } from './service-process.js';

it('starts a service as its image does', () => {
  const dockerfile = readFileSync(join(PROJECT_ROOT, 'Dockerfile'), 'utf8');
  const [, entrypoint] = /^ENTRYPOINT (.*)$/m.exec(dockerfile)!;
  expect(JSON.parse(entrypoint!)).toEqual(['node', ...NODE_FLAGS]);
});

describe('what a service says', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'daypass-service-'));
    for (const folder of ['libs/launch', 'apps/ingress']) mkdirSync(join(root, 'dist', folder), { recursive: true });
    writeFileSync(join(root, 'package.json'), '{"type":"module"}');
    writeFileSync(join(root, 'dist/libs/launch/end-with-parent.js'), 'process.channel.unref();');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /**
   * Runs these lines as ingress, with its logger. `before`: happens before it starts.
   * @returns its log, and what people were told, when it gave up
   */
  async function said(lines: string, before = (): void => undefined): Promise<{ log: string[]; troubles: string[] }> {
    const logger = join(PROJECT_ROOT, 'dist/libs/service/logger.js');
    writeFileSync(
      join(root, 'dist/apps/ingress/main.js'),
      `import { createLogger } from ${JSON.stringify(logger)}; const logger = createLogger('ingress', 'info'); ${lines}; process.exit(78);`,
    );
    const troubles: string[] = [];
    const logFile = join(root, 'logs/ingress.log');
    const { promise: gaveUp, resolve } = Promise.withResolvers<string>();
    const service = new ServiceProcess({
      name: 'ingress',
      root,
      env: {},
      opsUrl: 'http://127.0.0.1:9',
      logFile,
      shutdownDeadlineMs: 1_000,
      onTrouble: (text) => troubles.push(text),
      onGiveUp: resolve,
    });
    before();
    service.start();
    await gaveUp;
    await service.whenSilent();
    const log = existsSync(logFile) ? readFileSync(logFile, 'utf8') : '';
    return { log: log.trimEnd().split('\n'), troubles };
  }

  it('goes into its log file without the launcher, once each, and its troubles are told to people as well', async () => {
    const { log, troubles } = await said(`
      const { fstatSync } = await import('node:fs');
      logger.info({ direct: fstatSync(1).isFile() }, 'served');
      logger.warn({ err: new Error('away') }, 'Redis');
      logger.info({ quoted: '{"level":"error"}' }, 'level');
      logger.error('broken')`);
    expect(log.map((line) => JSON.parse(line) as object)).toMatchObject([
      { level: 'info', direct: true, msg: 'served' },
      { level: 'warn', msg: 'Redis' },
      { level: 'info', msg: 'level' },
      { level: 'error', msg: 'broken' },
    ]);
    expect(troubles).toEqual(['warn: Redis (away)', 'error: broken']);
  });

  it('names lines of our sources, without the maps of packages, which take memory', async () => {
    const library = join(PROJECT_ROOT, 'dist/libs/service/logger.js');
    const packaged = realpathSync(join(PROJECT_ROOT, 'node_modules/gpt-tokenizer/esm/util.js'));
    const { log } = await said(`
      const { findSourceMap } = await import('node:module');
      await import(${JSON.stringify(packaged)});
      logger.info({
        ours: findSourceMap(${JSON.stringify(library)})?.payload.sources,
        packaged: typeof findSourceMap(${JSON.stringify(packaged)}),
      }, 'maps')`);
    expect(log.map((line) => JSON.parse(line) as object)).toMatchObject([
      { ours: [expect.stringMatching(/libs\/service\/logger\.ts$/)], packaged: 'undefined' },
    ]);
  });

  it('that is no log line is in the file too, and people are told', async () => {
    const { log, troubles } = await said(`logger.info('begun'); process.stderr.write('a bad setting\\n\\n')`);
    expect(
      log
        .filter((line) => line !== '')
        .map((line) => (line.startsWith('{') ? 'begun' : line))
        .toSorted(),
    ).toEqual(['a bad setting', 'begun']);
    expect(troubles).toEqual(['a bad setting']);
  });

  it('reaches people whole where more comes at once than the pipe to the launcher takes', async () => {
    const { log, troubles } = await said(`
      process.stderr;
      for (let n = 0; n < 2_000; n++) logger.warn({ note: 'x'.repeat(300) }, 'trouble ' + n);
      await new Promise((resolve) => setTimeout(resolve, 2_000))`);
    expect(troubles).toEqual(Array.from({ length: 2_000 }, (_, n) => `warn: trouble ${n}`));
    expect(log).toHaveLength(2_000);
  });

  it('is told where its log file cannot be opened, and the service runs', async () => {
    // As where somebody deleted the folder, and a file has its name.
    const { troubles } = await said(`logger.warn('served')`, () => {
      rmSync(join(root, 'logs'), { recursive: true });
      writeFileSync(join(root, 'logs'), '');
    });
    expect(troubles).toContainEqual(expect.stringContaining('runs without its log file'));
    expect(troubles).toContain('warn: served');
  });
});
