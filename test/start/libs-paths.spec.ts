import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

const ROOT = process.cwd();
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(ROOT, file)));

/** Import of `#libs/…` → a file that has it. */
const imports = new Map(
  files.flatMap((file) =>
    ts
      .preProcessFile(readFileSync(join(ROOT, file), 'utf8'), true, true)
      .importedFiles.filter(({ fileName }) => fileName.startsWith('#'))
      .map(({ fileName }) => [fileName, file] as const),
  ),
);

/** One name, two readers: editors and structure tools follow it to the sources, Node to what was built. */
describe('#libs', () => {
  it('leads TypeScript to the sources in libs/', () => {
    const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
      config: { compilerOptions: ts.CompilerOptions };
    };
    // TypeScript would find them without; the linter and structure tools read this alone.
    expect(config.compilerOptions.paths).toEqual({ '#libs/*.js': ['./libs/*.ts'] });
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
    const resolve = (specifier: string, file: string): string | undefined =>
      ts.resolveModuleName(specifier, join(ROOT, file), options, ts.sys, undefined, undefined, ts.ModuleKind.ESNext)
        .resolvedModule?.resolvedFileName;
    expect(imports.size).toBeGreaterThan(50);
    for (const [specifier, file] of imports)
      expect(resolve(specifier, file)).toBe(join(ROOT, specifier.slice(1).replace(/\.js$/, '.ts')));
  });

  it('stands in what is built as it stands in the sources', () => {
    expect(readFileSync(join(ROOT, 'dist/apps/ingress/main.js'), 'utf8')).toContain("from '#libs/");
  });

  it('leads Node to dist/', () => {
    const specifiers = [...imports.keys()];
    const script = `console.log(JSON.stringify(${JSON.stringify(specifiers)}.map((name) => import.meta.resolve(name))))`;
    const resolved = JSON.parse(
      execFileSync('node', ['--input-type=module', '-e', script], { cwd: ROOT, encoding: 'utf8' }),
    ) as string[];
    expect(resolved).toEqual(specifiers.map((specifier) => pathToFileURL(join(ROOT, 'dist', specifier.slice(1))).href));
  });
});
