import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = process.cwd();
const FOLDERS = ['apps', 'libs/config', 'libs/contracts', 'libs/money', 'libs/redis', 'libs/stack', 'libs/testing'];

/** File → import (or line) that must not pass, and words of the message that says why. */
const FORBIDDEN: [name: string, file: string, line: string, why: string][] = [
  ['an app imports another app', 'apps/ingress/planted.ts', "import '../accounting/main.js';", 'Apps never import each other'],
  ['an app imports another app from deeper down', 'apps/ingress/deep/planted.ts', "import '../../moderation/main.js';", 'Apps never import each other'],
  ['a spec of an app imports another app', 'apps/forwarding/planted.int-spec.ts', "import '../ingress/main.js';", 'Apps never import each other'],
  ['a lib imports an app', 'libs/redis/planted.ts', "import '../../apps/ingress/main.js';", 'Libs never import apps'],
  ['a tool of the stack imports an app', 'libs/stack/planted.ts', "import '../../apps/ingress/main.js';", 'Libs never import apps'],
  ['a service imports the test tools', 'apps/ingress/planted.ts', "import '#libs/testing/stores.js';", 'no part of it imports them'],
  ['domain imports a framework', 'apps/ingress/domain/planted.ts', "import '@nestjs/common';", 'domain/ is pure'],
  ['domain imports a client', 'apps/ingress/domain/planted.ts', "import 'ioredis';", 'domain/ is pure'],
  ["domain imports Node's network", 'apps/accounting/domain/planted.ts', "import 'node:http';", 'domain/ is pure'],
  ['domain imports another lib', 'apps/forwarding/domain/planted.ts', "import '#libs/redis/keys.js';", 'domain/ is pure'],
  ['domain imports from outside its folder', 'apps/forwarding/domain/planted.ts', "import '../main.js';", 'domain/ is pure'],
  ['contracts imports another lib', 'libs/contracts/planted.ts', "import '#libs/money/nano.js';", 'libs/contracts imports no other lib'],
  ['a service other than accounting imports typeorm', 'apps/ingress/planted.ts', "import 'typeorm';", 'Only accounting knows Postgres'],
  ['a lib imports pg', 'libs/redis/planted.ts', "import 'pg';", 'Only accounting knows Postgres'],
  ['a service reads the environment', 'apps/ingress/planted.ts', 'export const port = process.env.PORT;', 'process.env'],
  ['a promise floats', 'libs/money/planted.ts', 'Promise.resolve();', 'Promises must be awaited'],
];

const ALLOWED: [name: string, file: string, line: string][] = [
  ['accounting imports typeorm', 'apps/accounting/planted.ts', "import 'typeorm';"],
  ['an app imports libs', 'apps/ingress/planted.ts', "import '#libs/redis/keys.js';"],
  [
    'domain imports contracts, money and its neighbours',
    'apps/ingress/domain/planted.ts',
    "import '#libs/contracts/jobs.js';\nimport '#libs/money/nano.js';\nimport './other.js';",
  ],
  ['domain imports a mere type', 'apps/ingress/domain/planted.ts', "import type { Call } from '../call.js';\nexport type Same = Call;"],
  ['a spec of domain imports its tools', 'apps/ingress/domain/planted.spec.ts', "import '@jest/globals';"],
  ['the launcher reads the environment', 'libs/stack/planted.ts', 'export const port = process.env.PORT;'],
];

describe('the arrows of the architecture', () => {
  let tree: string;

  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'daypass-arrows-'));
    for (const file of ['oxlint.config.ts', 'tsconfig.json', 'tsconfig.lint.json', 'package.json']) cpSync(join(ROOT, file), join(tree, file));
    symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
    for (const folder of FOLDERS) mkdirSync(join(tree, folder), { recursive: true });
  });
  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it.each(FORBIDDEN)('fail when %s', (_name, file, line, why) => {
    const { status, output } = lintWith({ [file]: `${line}\n` });
    expect(output).toContain(why);
    expect(status).toBe(1);
  });

  it.each(ALLOWED)('hold when %s', (_name, file, line) => {
    expect(lintWith({ [file]: `${line}\n` })).toEqual({ status: 0, output: expect.stringContaining('Found 0 warnings and 0 errors') });
  });

  it('fail on a circle, also through #libs', () => {
    const { status, output } = lintWith({
      'libs/money/one.ts': "import { two } from '#libs/redis/two.js';\nexport const one = (): number => two() + 1;\n",
      'libs/redis/two.ts': "import { one } from '#libs/money/one.js';\nexport const two = (): number => one() + 1;\n",
    });
    expect(output).toContain('import(no-cycle)');
    expect(status).toBe(1);
  });

  function lintWith(files: Record<string, string>): { status: number | null; output: string } {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, file)), { recursive: true });
      writeFileSync(join(tree, file), text);
    }
    const run = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), ['--type-aware', '--tsconfig', 'tsconfig.lint.json', 'apps', 'libs'], {
      cwd: tree,
      encoding: 'utf8',
    });
    for (const file of Object.keys(files)) rmSync(join(tree, file));
    return { status: run.status, output: run.stdout + run.stderr };
  }
});
