import { beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = process.cwd();
const FOLDERS = [
  'apps',
  'cli',
  'libs/config',
  'libs/contracts',
  'libs/endpoints',
  'libs/holds',
  'libs/money',
  'libs/redis',
  'libs/launch',
  'libs/testing',
];

interface Planted {
  /** What the file does that the architecture has an opinion on. */
  name: string;
  file: string;
  text: string;
  /** Words of the message that forbids it; undefined where it is allowed. */
  why?: string;
}

/** Each file has a name of its own, so that one lint run answers for all of them. */
const FORBIDDEN: Planted[] = (
  [
    [
      'an app imports another app',
      'apps/ingress/planted-1.ts',
      "import '../accounting/main.js';",
      'Apps never import each other',
    ],
    [
      'an app imports another app from deeper down',
      'apps/ingress/deep/planted-2.ts',
      "import '../../moderation/main.js';",
      'Apps never import each other',
    ],
    [
      'a spec of an app imports another app',
      'apps/forwarding/planted-3.int-spec.ts',
      "import '../ingress/main.js';",
      'Apps never import each other',
    ],
    [
      'a lib imports an app',
      'libs/redis/planted-4.ts',
      "import '../../apps/ingress/main.js';",
      'Libs never import apps',
    ],
    [
      'a tool of the stack imports an app',
      'libs/launch/planted-5.ts',
      "import '../../apps/ingress/main.js';",
      'Libs never import apps',
    ],
    [
      'a service imports the test tools',
      'apps/ingress/planted-6.ts',
      "import '#libs/testing/stores.js';",
      'no part of it imports them',
    ],
    ['domain imports a framework', 'apps/ingress/domain/planted-7.ts', "import '@nestjs/common';", 'domain/ is pure'],
    ['domain imports a client', 'apps/ingress/domain/planted-8.ts', "import 'ioredis';", 'domain/ is pure'],
    ["domain imports Node's network", 'apps/accounting/domain/planted-9.ts', "import 'node:http';", 'domain/ is pure'],
    [
      'domain imports another lib',
      'apps/forwarding/domain/planted-10.ts',
      "import '#libs/redis/keys.js';",
      'domain/ is pure',
    ],
    [
      'domain imports from outside its folder',
      'apps/forwarding/domain/planted-11.ts',
      "import '../main.js';",
      'domain/ is pure',
    ],
    [
      'contracts imports another lib',
      'libs/contracts/planted-12.ts',
      "import '#libs/money/nano.js';",
      'libs/contracts imports no other lib',
    ],
    [
      'a room imports a room above it',
      'apps/forwarding/answers/planted-20.ts',
      "import '../attempt/attempt.js';",
      'of the other rooms',
    ],
    [
      'a library imports upwards',
      'libs/redis/planted-17.ts',
      "import '#libs/holds/hold.store.js';",
      'libs/redis imports libs/contracts',
    ],
    ['a wire format imports a client', 'libs/endpoints/planted-18.ts', "import 'openai';", 'libs/endpoints is pure'],
    [
      'a wire format imports a library beside its ground',
      'libs/endpoints/planted-19.ts',
      "import '#libs/redis/keys.js';",
      'libs/endpoints imports libs/contracts, libs/money',
    ],
    [
      'a service other than accounting imports typeorm',
      'apps/ingress/planted-13.ts',
      "import 'typeorm';",
      'Only accounting knows Postgres',
    ],
    ['a lib imports pg', 'libs/redis/planted-14.ts', "import 'pg';", 'Only accounting knows Postgres'],
    [
      'a service reads the environment',
      'apps/ingress/planted-15.ts',
      'export const port = process.env.PORT;',
      'process.env',
    ],
    [
      'the command imports a library beside the contracts',
      'cli/planted-21.ts',
      "import '#libs/config/config.js';",
      'cli/ takes libs/contracts alone',
    ],
    ['a promise floats', 'libs/money/planted-16.ts', 'Promise.resolve();', 'Promises must be awaited'],
  ] as const
).map(([name, file, text, why]) => ({ name, file, text, why }));

/** Between tools, because any other two libraries of a circle break an arrow, too. */
const CIRCLE: Planted[] = [
  {
    name: 'one half of a circle through #libs',
    file: 'libs/launch/one.ts',
    text: "import { two } from '#libs/testing/two.js';\nexport const one = (): number => two() + 1;",
    why: 'Dependency cycle',
  },
  {
    name: 'the other half of that circle',
    file: 'libs/testing/two.ts',
    text: "import { one } from '#libs/launch/one.js';\nexport const two = (): number => one() + 1;",
    why: 'Dependency cycle',
  },
];

const ALLOWED: Planted[] = (
  [
    ['accounting imports typeorm', 'apps/accounting/allowed-1.ts', "import 'typeorm';"],
    ['an app imports libs', 'apps/ingress/allowed-2.ts', "import '#libs/redis/keys.js';"],
    [
      'domain imports contracts, money and its neighbours',
      'apps/ingress/domain/allowed-3.ts',
      "import '#libs/contracts/jobs.js';\nimport '#libs/money/nano.js';\nimport './other.js';",
    ],
    [
      'a wire format imports contracts and money',
      'libs/endpoints/allowed-7.ts',
      "import '#libs/contracts/jobs.js';\nimport '#libs/money/nano.js';",
    ],
    ['a room imports a room below it', 'apps/forwarding/attempt/allowed-8.ts', "import '../answers/answered.js';"],
    [
      'a room takes a type of a room above it',
      'apps/forwarding/answers/allowed-9.ts',
      "import type { Call } from '../attempt/call.js';\nexport type Same = Call;",
    ],
    [
      'domain imports a mere type',
      'apps/ingress/domain/allowed-4.ts',
      "import type { Call } from '../call.js';\nexport type Same = Call;",
    ],
    ['the command imports the contracts', 'cli/allowed-10.ts', "import '#libs/contracts/jobs.js';"],
    ['a spec of domain imports its tools', 'apps/ingress/domain/allowed-5.spec.ts', "import '@jest/globals';"],
    ['the launcher reads the environment', 'libs/launch/allowed-6.ts', 'export const port = process.env.PORT;'],
  ] as const
).map(([name, file, text]) => ({ name, file, text }));

interface Finding {
  filename: string;
  message: string;
  help?: string;
  severity: string;
}

describe('the arrows of the architecture', () => {
  let findings: Map<string, string[]>;

  beforeAll(() => {
    const tree = mkdtempSync(join(tmpdir(), 'daypass-arrows-'));
    try {
      for (const file of ['oxlint.config.ts', 'tsconfig.json', 'package.json'])
        cpSync(join(ROOT, file), join(tree, file));
      symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
      for (const folder of FOLDERS) mkdirSync(join(tree, folder), { recursive: true });
      for (const { file, text } of [...FORBIDDEN, ...CIRCLE, ...ALLOWED]) {
        mkdirSync(dirname(join(tree, file)), { recursive: true });
        writeFileSync(join(tree, file), `${text}\n`);
      }
      const run = spawnSync(
        join(ROOT, 'node_modules/.bin/oxlint'),
        ['--type-aware', '--tsconfig', 'tsconfig.json', '--format', 'json', 'apps', 'cli', 'libs'],
        {
          cwd: tree,
          encoding: 'utf8',
        },
      );
      expect(run.status).toBe(1);
      const { diagnostics, number_of_files } = JSON.parse(run.stdout) as {
        diagnostics: Finding[];
        number_of_files: number;
      };
      expect(number_of_files).toBe(FORBIDDEN.length + CIRCLE.length + ALLOWED.length);
      expect(diagnostics.filter(({ severity }) => severity !== 'error')).toEqual([]);
      findings = new Map();
      for (const { filename, message, help } of diagnostics)
        findings.set(filename, [...(findings.get(filename) ?? []), `${message} ${help ?? ''}`]);
    } finally {
      rmSync(tree, { recursive: true, force: true });
    }
  }, 60_000);

  it.each([...FORBIDDEN, ...CIRCLE])('fail when $name', ({ file, why }) => {
    expect(findings.get(file)).toEqual([expect.stringContaining(why!)]);
  });

  it.each(ALLOWED)('hold when $name', ({ file }) => {
    expect(findings.get(file)).toBeUndefined();
  });
});
