import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { BuiltPages } from '#libs/pages/built.pages.js';

/** What a first visit of a page may load, compressed with gzip: PAGES of visitors on phones, and the operator's console. */
const VISITORS_MAX_BYTES = 45_000;
/** Of `/claim.js`, which a stranger's page loads beside all of its own. */
const EMBED_MAX_BYTES = 8_000;
const CONSOLE_SCRIPTS_MAX_BYTES = 300_000;
const CONSOLE_STYLES_MAX_BYTES = 40_000;

const visitors = new BuiltPages('visitors');
const operators = new BuiltPages('console');
const VISITORS_PAGES = readdirSync(join('web', 'visitors'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

const bytesOf = ({ folder }: BuiltPages, files: readonly string[]): number =>
  files.reduce((sum, file) => sum + statSync(join(folder, `${file}.gz`)).size, 0);
const told = (page: string, bytes: number): void =>
  void process.stderr.write(`first load of ${page}: ${bytes} bytes gz\n`);

describe('the first load', () => {
  it.each(VISITORS_PAGES)(`of the visitors' page %s is at most ${VISITORS_MAX_BYTES} bytes`, (page) => {
    // The claim page starts its workers while its text is read.
    const workers =
      page === 'claim' ? readdirSync(join(visitors.folder, 'assets')).filter((file) => /worker.*\.js$/.test(file)) : [];
    const files = [...visitors.firstLoad(`visitors/${page}/main.tsx`), ...workers.map((file) => `assets/${file}`)];
    expect(files.filter((file) => file.endsWith('.js')).length).toBeGreaterThan(1);
    const bytes = bytesOf(visitors, files);
    told(page, bytes);
    expect(bytes).toBeGreaterThan(1_000);
    expect(bytes).toBeLessThanOrEqual(VISITORS_MAX_BYTES);
  });

  it(`of /claim.js is at most ${EMBED_MAX_BYTES} bytes, and without TLS half as much again`, () => {
    const embed = new BuiltPages('embed');
    const scripts = readdirSync(embed.folder, { recursive: true, encoding: 'utf8' }).filter((one) => /\.js$/.test(one));
    expect(scripts.toSorted()).toEqual(['claim.js', 'claim.plain.js']);
    const bytes = bytesOf(embed, ['claim.js']);
    const all = bytesOf(embed, scripts);
    told('/claim.js', bytes);
    told('/claim.js without TLS', all);
    expect(bytes).toBeGreaterThan(1_000);
    expect(bytes).toBeLessThanOrEqual(EMBED_MAX_BYTES);
    expect(all).toBeLessThanOrEqual(1.5 * EMBED_MAX_BYTES);
  });

  it('of the console keeps its bounds for scripts and for styles', () => {
    const entry = 'console/main.tsx';
    const loads = [entry, ...operators.partsOf(entry)].map((part) => operators.firstLoad(entry, part));
    const [scripts, styles] = ['.js', '.css'].map((ending) =>
      Math.max(
        ...loads.map((files) =>
          bytesOf(
            operators,
            files.filter((file) => file.endsWith(ending)),
          ),
        ),
      ),
    ) as [number, number];
    told("the console's scripts", scripts);
    told("the console's styles", styles);
    expect(scripts).toBeGreaterThan(50_000);
    expect(scripts).toBeLessThanOrEqual(CONSOLE_SCRIPTS_MAX_BYTES);
    expect(styles).toBeGreaterThan(1_000);
    expect(styles).toBeLessThanOrEqual(CONSOLE_STYLES_MAX_BYTES);
  });
});
