import { readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { defineConfig } from 'oxlint';

/** The architecture's arrows (ARCHITECTURE.md), each proved to fail by test/architecture. */
const APPS = ['ingress', 'moderation', 'forwarding', 'accounting'];
const LIBS = readdirSync(join(import.meta.dirname, 'libs'));
/** What each library may import of the others; none imports upwards, so that their folders have no circle. */
const ARROWS: Record<string, readonly string[]> = {
  contracts: [],
  pages: ['contracts'],
  secrets: [],
  money: ['contracts'],
  endpoints: ['contracts', 'money'],
  config: ['contracts', 'money'],
  redis: ['contracts'],
  pacing: ['config', 'contracts', 'endpoints', 'redis'],
  holds: ['contracts', 'money', 'pacing', 'redis', 'secrets'],
  queues: ['contracts', 'pacing', 'redis'],
  moderation: ['config', 'contracts', 'endpoints', 'pacing', 'redis', 'secrets'],
  shelf: ['contracts', 'endpoints', 'pacing', 'redis', 'secrets'],
  service: ['config', 'contracts', 'endpoints', 'holds', 'moderation', 'pacing', 'redis', 'secrets', 'shelf'],
};
/** The rooms of each app, and which other rooms each may import; types it may take from any. The files beside the rooms are for all. */
const ROOMS: Record<string, Record<string, readonly string[]>> = {
  ingress: {
    door: ['domain'],
    answers: ['domain'],
    calls: ['answers', 'domain', 'door'],
    desk: ['answers', 'domain', 'door'],
    claims: ['desk', 'domain', 'door'],
    key: ['desk', 'domain', 'door'],
    pages: ['claims', 'domain', 'door'],
    models: ['door'],
    moderations: ['answers', 'domain', 'door'],
    shelf: ['answers', 'calls', 'domain', 'door'],
    docs: ['domain', 'door'],
  },
  forwarding: {
    answers: ['domain'],
    attempt: ['answers', 'domain'],
    turns: ['attempt', 'domain'],
  },
  accounting: {
    schemas: ['domain'],
    store: [],
    reconcile: ['domain'],
    books: ['domain', 'store'],
    record: ['books', 'domain', 'store'],
    accounts: ['books', 'domain', 'record', 'schemas', 'store'],
    notices: ['accounts', 'record'],
    claims: ['accounts', 'books', 'domain', 'record', 'schemas', 'store'],
    mail: ['domain', 'record', 'store'],
    desk: ['accounts', 'claims', 'domain', 'mail', 'record', 'store'],
    console: ['accounts', 'books', 'claims', 'domain', 'record', 'schemas', 'store'],
    recovery: ['accounts', 'books', 'claims', 'domain', 'store'],
    admin: ['accounts', 'books', 'claims', 'console', 'domain', 'reconcile', 'record', 'schemas', 'store'],
  },
};
/** They run Daypass, and no part of it imports them. */
const RUNNERS = ['launch', 'rehearsal', 'testing'];
const SPECS = ['**/*.spec.ts', '**/*.int-spec.ts', '**/*.e2e-spec.ts', '**/*.fixture.ts'];

interface Restriction {
  regex: string;
  message: string;
  allowTypeImports?: boolean;
}
const others = (app: string): Restriction => ({
  regex: `^(\\.\\./)+(${APPS.filter((other) => other !== app).join('|')})/|(^|/)apps/`,
  message: 'Apps never import each other: they meet in libs/contracts, by queue or journal.',
});
const BOOKS: Restriction = { regex: '^(typeorm|pg|@nestjs/typeorm)(/|$)', message: 'Only accounting knows Postgres.' };
const TOOLS: Restriction = {
  regex: `^#libs/(${RUNNERS.join('|')})/`,
  message: 'libs/launch, libs/rehearsal and libs/testing run Daypass; no part of it imports them.',
};
// The regex engine has no look-ahead, so what domain/ may not import is spelt out: packages, Node's modules, parents, other libs.
const IMPURE_MODULES = builtinModules.filter((name) => name !== 'buffer' && name !== 'crypto').join('|');
const IMPURE_LIBS = LIBS.filter((lib) => lib !== 'contracts' && lib !== 'money').join('|');
const PURE: Restriction = {
  regex: `^(@[a-z]|[a-z][a-z0-9.-]*(/|$)|node:(${IMPURE_MODULES})$|\\.\\./|#libs/(${IMPURE_LIBS})/)`,
  message: 'domain/ is pure: it imports libs/contracts, libs/money, node:buffer, node:crypto and its own folder.',
  // A type is gone when it runs.
  allowTypeImports: true,
};
const PURE_FORMATS: Restriction = {
  regex: `^(@[a-z]|[a-z][a-z0-9.-]*(/|$)|node:(${IMPURE_MODULES})$)`,
  message:
    'libs/endpoints is pure: it imports libs/contracts, libs/money, node:buffer, node:crypto and its own folder.',
};
const NOT_CONTRACTS = `^#libs/(${LIBS.filter((lib) => lib !== 'contracts').join('|')})/`;
const WEB: Restriction = {
  regex: `${NOT_CONTRACTS}|^(\\.\\./)+(apps|libs)/`,
  message: 'web/ takes only the types of libs/contracts: it calls the APIs as everybody does.',
};
/** No look-ahead: each name that is not `help`. */
const WEB_TYPES: Restriction = {
  regex: '^#libs/contracts/(?:[a-gi-z]|h[a-df-z]|he[a-km-z]|hel[a-oq-z])',
  message: 'web/ takes only the types of libs/contracts, and the words of its help.',
  allowTypeImports: true,
};
const CLI: Restriction = {
  regex: `${NOT_CONTRACTS}|^(\\.\\./)+(apps|libs|web)/`,
  message: 'cli/ takes libs/contracts alone: it calls the admin API as everybody does.',
};
const NO_APPS: Restriction = { regex: '(^|/)apps/', message: 'Libs never import apps.' };
const upwards = (lib: string, below: readonly string[]): Restriction => ({
  regex: `^#libs/(${LIBS.filter((other) => other !== lib && !below.includes(other)).join('|')})/`,
  message: `libs/${lib} imports ${below.length > 0 ? below.map((other) => `libs/${other}`).join(', ') : 'no other lib'}.`,
});

const upstairs = (app: string, room: string, below: readonly string[]): Restriction => ({
  regex: `^\\.\\./(${[...Object.keys(ROOMS[app]!), 'domain'].filter((other) => other !== room && !below.includes(other)).join('|')})/`,
  message: `apps/${app}/${room} imports ${below.length > 0 ? `only ${below.join(', ')}` : 'none'} of the other rooms.`,
  allowTypeImports: true,
});

const restricted = (files: string[], patterns: Restriction[], excludeFiles: string[] = SPECS) => ({
  files,
  excludeFiles,
  rules: { 'no-restricted-imports': ['error', { patterns }] as ['error', object] },
});

export default defineConfig({
  plugins: ['typescript', 'import', 'node', 'promise', 'unicorn', 'oxc'],
  categories: { correctness: 'error' },
  env: { node: true },
  ignorePatterns: ['dist', 'node_modules', 'coverage', '.daypass', '.venv'],
  rules: {
    'import/no-cycle': 'error',
    'node/no-process-env': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
    // A matter of taste, and wrong for strings whose characters we count.
    'typescript/no-misused-spread': 'off',
    'unicorn/no-useless-spread': 'off',
    'unicorn/prefer-string-starts-ends-with': 'off',
  },
  overrides: [
    restricted(['libs/**'], [NO_APPS, BOOKS]),
    ...Object.entries(ARROWS).map(([lib, below]) =>
      restricted(
        [`libs/${lib}/**`],
        [NO_APPS, BOOKS, upwards(lib, below), ...(lib === 'endpoints' ? [PURE_FORMATS] : [])],
      ),
    ),
    ...APPS.map((app) =>
      restricted([`apps/${app}/**`], [others(app), TOOLS, ...(app === 'accounting' ? [] : [BOOKS])]),
    ),
    ...APPS.map((app) => restricted([`apps/${app}/**/*.{spec,int-spec,fixture}.ts`], [others(app)], [])),
    ...Object.entries(ROOMS).flatMap(([app, rooms]) =>
      Object.entries(rooms).map(([room, below]) =>
        restricted(
          [`apps/${app}/${room}/**`],
          [others(app), TOOLS, ...(app === 'accounting' ? [] : [BOOKS]), upstairs(app, room, below)],
        ),
      ),
    ),
    restricted(['apps/*/domain/**'], [PURE]),
    restricted(['web/**'], [WEB, WEB_TYPES], []),
    restricted(['cli/**'], [CLI], []),
    {
      files: ['web/**/*.tsx'],
      plugins: ['typescript', 'import', 'promise', 'unicorn', 'oxc', 'react', 'jsx-a11y'],
      // A status may hold more than words, and a picture need not be an element of its own.
      rules: { 'react/react-in-jsx-scope': 'off', 'jsx-a11y/prefer-tag-over-role': 'off' },
    },
    {
      files: [
        'libs/service/bootstrap.ts',
        // The names of all keys are constants, made when the process starts.
        'libs/redis/keys.ts',
        ...RUNNERS.map((lib) => `libs/${lib}/**`),
        'cli/**',
        'scripts/**',
        '**/*.mjs',
        'test/**',
        'bench/**',
        ...SPECS,
      ],
      rules: { 'node/no-process-env': 'off' },
    },
  ],
});
