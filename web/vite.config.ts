import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type UserConfig } from 'vite';

const here = import.meta.dirname;
/** Each folder of the visitors' pages is a page of its own: its `main.tsx` begins it. */
const visitorPages = readdirSync(join(here, 'visitors'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => [name, join(here, 'visitors', name, 'main.tsx')] as const);

/** `/claim.js`, which projects' own pages import. Its name stays, and so does that of what it loads without TLS. */
const embed: UserConfig = {
  root: here,
  base: './',
  logLevel: 'error',
  publicDir: false,
  build: {
    outDir: join(here, '..', 'dist', 'web', 'embed'),
    emptyOutDir: true,
    manifest: 'manifest.json',
    modulePreload: false,
    target: 'es2022',
    reportCompressedSize: false,
    rolldownOptions: {
      input: { claim: join(here, 'embed', 'claim.ts') },
      // Vite's mode for libraries leaves spaces and line breaks in.
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: '[name].js', chunkFileNames: 'claim.[name].js' },
    },
  },
};

/** Each by its whole name. */
const PREACT = [
  { find: /^react$/, replacement: 'preact/compat' },
  { find: /^react-dom$/, replacement: 'preact/compat' },
  { find: /^react-dom\/client$/, replacement: 'preact/compat/client' },
  { find: /^react\/jsx-runtime$/, replacement: 'preact/jsx-runtime' },
];

/**
 * `--mode console`: React and Mantine, served by accounting. `--mode visitors`: the same JSX with Preact, served by
 * ingress. Both end in dist/web, with a manifest that tells the services each file's name. `--mode embed`: `/claim.js`.
 */
export default defineConfig(({ mode }): UserConfig => {
  if (mode === 'embed') return embed;
  const isConsole = mode === 'console';
  return {
    root: here,
    base: isConsole ? '/console/' : '/',
    // Mantine's "use client" means nothing here, and Vite warns of each.
    logLevel: 'error',
    publicDir: join(here, 'public'),
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: {
      alias: [
        // Not the services' build, which is made at the same time.
        { find: /^#libs\/(.*)\.js$/, replacement: join(here, '..', 'libs', '$1.ts') },
        ...(isConsole ? [] : PREACT),
      ],
    },
    build: {
      outDir: join(here, '..', 'dist', 'web', mode),
      emptyOutDir: true,
      manifest: 'manifest.json',
      modulePreload: { polyfill: false },
      target: 'es2022',
      assetsInlineLimit: 0,
      cssCodeSplit: true,
      reportCompressedSize: false,
      rolldownOptions: {
        input: isConsole ? { console: join(here, 'console', 'main.tsx') } : Object.fromEntries(visitorPages),
      },
    },
    worker: { format: 'es' },
  };
});
