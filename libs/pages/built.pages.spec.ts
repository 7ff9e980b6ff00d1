import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BuiltPages } from './built.pages.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'daypass-pages-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const built = (manifest: object): BuiltPages => {
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  return new BuiltPages('console', folder);
};
const MANIFEST = {
  'console/main.tsx': {
    file: 'assets/main-1.js',
    imports: ['_a.js', '_b.js'],
    css: ['assets/main-1.css'],
    dynamicImports: ['part.tsx'],
  },
  'part.tsx': { file: 'assets/part-1.js', imports: ['_a.js', 'console/main.tsx'] },
  '_a.js': { file: 'assets/a-1.js', imports: ['_b.js'], css: ['assets/a-1.css'] },
  '_b.js': { file: 'assets/b-1.js', imports: ['_a.js'] },
  'style.css': { file: 'assets/style-1.css' },
};
const SHELL = { entry: 'console/main.tsx', title: 'T', noscript: 'N' };

describe('built pages', () => {
  it('name every file of the first load once, also where chunks import each other', () => {
    const pages = built(MANIFEST);
    const files = ['main-1.js', 'a-1.js', 'b-1.js', 'style-1.css', 'main-1.css', 'a-1.css'].map(
      (one) => `assets/${one}`,
    );
    expect(pages.firstLoad('console/main.tsx')).toEqual([...files, 'theme.js']);
    expect(pages.partsOf('console/main.tsx')).toEqual(['part.tsx']);
    expect(pages.firstLoad('console/main.tsx', 'part.tsx')).toHaveLength(files.length + 2);
    const shell = pages.shell(SHELL);
    const named = [...shell.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path]) => path);
    expect(new Set(named)).toEqual(new Set([...files, 'theme.js'].map((file) => `/console/${file}`)));
  });

  it('say what to do where nobody built them, or not this page', () => {
    expect(() => new BuiltPages('console', join(folder, 'none'))).toThrow('run `node web/build.ts`');
    expect(() => built({}).shell(SHELL)).toThrow('the pages have no console/main.tsx: build them again');
  });

  it('let no text of an operator become markup', () => {
    const evil = `</title><script>alert(1)</script>"'&<!--`;
    const state = { evil, other: '</script><script>' };
    const shell = built(MANIFEST).shell({
      ...SHELL,
      title: evil,
      description: evil,
      noscript: evil,
      nonce: evil,
      state,
    });
    const scripts = [...shell.matchAll(/<script/g)].length;
    // theme.js, the state, the entry.
    expect(scripts).toBe(3);
    expect(shell).not.toContain('<!--');
    const json = /<script type="application\/json" id="state">(.*?)<\/script>/s.exec(shell)![1]!;
    expect(JSON.parse(json)).toEqual(state);
  });
});
