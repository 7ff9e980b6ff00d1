import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What a reader may paste from: the pages at the root, in docs/ and in bench/; decisions (docs/adr) show nothing to paste. */
export const PAGES = ['README.md', 'bench/README.md', ...readdirSync('docs').map((name) => `docs/${name}`)].filter(
  (page) => page.endsWith('.md') && existsSync(page),
);

export interface Block {
  place: string;
  language: string;
  text: string;
}

export function blocksOf(page: string): Block[] {
  const source = readFileSync(page, 'utf8');
  return [...source.matchAll(/^```(\w*).*\n([\s\S]*?)^```$/gm)].map(({ index, 1: language, 2: text }) => ({
    place: `${page}:${source.slice(0, index).split('\n').length}`,
    language: language!,
    text: text!,
  }));
}

export const blocksIn = (...languages: string[]): Block[] =>
  PAGES.flatMap(blocksOf).filter(({ language }) => languages.includes(language));

/** Lines that belong together are one command: bash says where one ends. A line that is a comment alone is left out. */
export function commandsOf(script: string): string[] {
  const commands: string[] = [];
  let open = '';
  for (const line of script.split('\n')) {
    open += open === '' ? line : `\n${line}`;
    if (line.endsWith('\\') || spawnSync('bash', ['-n', '-c', open]).status !== 0) continue;
    if (!/^\s*(#.*)?$/.test(open)) commands.push(open);
    open = '';
  }
  return open === '' ? commands : [...commands, open];
}

/** Links to files that are not there, or to headings that they do not have. */
export function brokenLinks(page: string): string[] {
  const headings = (file: string): string[] =>
    [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
      text!
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
  return [...readFileSync(page, 'utf8').matchAll(/\]\((?!\w+:)([^)#]*)#?([^)]*)\)/g)].flatMap(
    ([link, path, heading]) => {
      const file = path === '' ? page : join(dirname(page), path!);
      return existsSync(file) && (heading === '' || headings(file).includes(heading!)) ? [] : [`${page}: ${link}`];
    },
  );
}
