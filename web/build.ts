import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'vite';

const COMPRESSED = /\.(js|css|svg)$/;

// With another value from the reader's shell, Vite writes JSX for a development build of React, and no page works.
// oxlint-disable-next-line node/no-process-env
process.env.NODE_ENV = 'production';

/** Builds the pages into dist/web, each file also as brotli and gzip: the services compress nothing while they serve. */
for (const mode of ['console', 'visitors', 'embed']) {
  await build({ configFile: join(import.meta.dirname, 'vite.config.ts'), mode });
  const folder = join(import.meta.dirname, '..', 'dist', 'web', mode);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((one) => COMPRESSED.test(one))) {
    const bytes = readFileSync(join(folder, name));
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes));
    writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes));
  }
}
