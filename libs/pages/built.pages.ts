import { existsSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';

export type Build = 'console' | 'visitors' | 'embed';

interface Chunk {
  file: string;
  css?: string[];
  imports?: string[];
  dynamicImports?: string[];
  assets?: string[];
}

export interface Shell {
  /** The entry of the build, as its manifest names it: `console/main.tsx`, `visitors/claim/main.tsx`. */
  entry: string;
  title: string;
  /** For previews of the link in chats. */
  description?: string;
  /** The page reads it from the element `state`, as JSON. */
  state?: unknown;
  nonce?: string;
  /** What a browser without scripts shows. */
  noscript: string;
}

/** Runs before the page is painted. */
const THEME = 'theme.js';
/** The console's styles are one file, which no chunk of the manifest names. */
const WHOLE_STYLE = 'style.css';
/** As Vite names what a page starts with `?worker`. */
const WORKER = /\.worker-[^/]*\.js$/;
/** dist/web, which `web/build.ts` makes. Specs run from the sources, the services from dist. */
const WEB = import.meta.dirname.includes(`${sep}dist${sep}`)
  ? join(import.meta.dirname, '..', '..', 'web')
  : join(import.meta.dirname, '..', '..', 'dist', 'web');

/** The pages that one build made: their folder, and the HTML around each of them. */
export class BuiltPages {
  readonly folder: string;
  /** Where its files lie: `/` or `/console/`. */
  readonly base: string;
  private readonly manifest: Readonly<Record<string, Chunk>>;

  /** @throws where nobody built the pages */
  constructor(build: Build, folder = join(WEB, build)) {
    this.folder = folder;
    this.base = build === 'console' ? '/console/' : '/';
    const manifest = join(folder, 'manifest.json');
    if (!existsSync(manifest))
      throw new Error(`nobody built the pages: run \`node web/build.ts\`, which makes ${manifest}`);
    this.manifest = JSON.parse(readFileSync(manifest, 'utf8')) as Record<string, Chunk>;
  }

  shell({ entry, title, description, state, nonce, noscript }: Shell): string {
    const chunks = this.chunksOf(entry);
    const styles = this.stylesOf(chunks);
    const [{ file }, ...imported] = chunks as [Chunk, ...Chunk[]];
    const at = (path: string): string => escaped(this.base + path);
    return [
      '<!doctype html>',
      '<html lang="en">',
      '<meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      '<meta name="color-scheme" content="light dark">',
      ...(nonce === undefined ? [] : [`<meta name="csp-nonce" content="${escaped(nonce)}">`]),
      `<title>${escaped(title)}</title>`,
      ...(description === undefined
        ? []
        : [
            `<meta name="description" content="${escaped(description)}">`,
            `<meta property="og:title" content="${escaped(title)}">`,
            `<meta property="og:description" content="${escaped(description)}">`,
            '<meta property="og:type" content="website">',
          ]),
      '<link rel="icon" href="data:,">',
      ...styles.map((path) => `<link rel="stylesheet" href="${at(path)}">`),
      ...imported.map((chunk) => `<link rel="modulepreload" href="${at(chunk.file)}">`),
      // The page starts them first of all: they are there when it does.
      ...this.workersOf(chunks).map((path) => `<link rel="modulepreload" as="worker" href="${at(path)}">`),
      `<script src="${at(THEME)}"></script>`,
      '<div id="app"></div>',
      `<noscript>${escaped(noscript)}</noscript>`,
      ...(state === undefined ? [] : [`<script type="application/json" id="state">${inScript(state)}</script>`]),
      `<script type="module" src="${at(file)}"></script>`,
      '</html>',
      '',
    ].join('\n');
  }

  /** Every file that a browser loads before it shows the page; `part`: of the entry's `partsOf`, where one is shown. */
  firstLoad(entry: string, part = entry): string[] {
    const chunks = [...new Set([...this.chunksOf(entry), ...this.chunksOf(part)])];
    return [...chunks.map(({ file }) => file), ...this.stylesOf(chunks), THEME];
  }

  /** What the entry loads when it is wanted, such as a page of the console. */
  partsOf(entry: string): readonly string[] {
    return this.manifest[entry]?.dynamicImports ?? [];
  }

  private workersOf(chunks: readonly Chunk[]): string[] {
    return chunks.flatMap(({ assets = [] }) => assets.filter((path) => WORKER.test(path)));
  }

  private stylesOf(chunks: readonly Chunk[]): string[] {
    const whole = this.manifest[WHOLE_STYLE]?.file;
    return [...new Set([...(whole === undefined ? [] : [whole]), ...chunks.flatMap(({ css = [] }) => css)])];
  }

  /** The entry first, then what it imports, each once. */
  private chunksOf(entry: string): Chunk[] {
    const found = new Map<string, Chunk>();
    const add = (name: string): void => {
      if (found.has(name)) return;
      const chunk = this.manifest[name];
      if (chunk === undefined) throw new Error(`the pages have no ${name}: build them again`);
      found.set(name, chunk);
      chunk.imports?.forEach(add);
    };
    add(entry);
    return [...found.values()];
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
export const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (one) => ENTITIES[one]!);

/** JSON that ends no script element and begins no comment. */
const inScript = (state: unknown): string => JSON.stringify(state).replaceAll('<', '\\u003c');
