import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes confusables.ts. Its argument is the path of confusables.txt, from https://www.unicode.org/Public/security/. */
const OUT = join(import.meta.dirname, 'confusables.ts');
const ASCII = /^[\0-\x7f]*$/;

/** Letters that differ only in style, and that neither NFKD nor confusables.txt leads back to their letter. */
const STYLED: [first: number, letters: string][] = [
  ...[...'ᴀʙᴅᴇꜰɢʜᴊᴋʟᴍɴᴘꞯʀᴛ'].map((letter, at): [number, string] => [letter.codePointAt(0)!, 'abdefghjklmnpqrt'[at]!]),
  // Negative circled, and negative squared.
  [0x1f150, 'abcdefghijklmnopqrstuvwxyz'],
  [0x1f170, 'abcdefghijklmnopqrstuvwxyz'],
];

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node libs/moderation/guards/write-confusables.ts <confusables.txt>');
const source = readFileSync(path, 'utf8');
const version = /^# Version: (\S+)/m.exec(source)?.[1];

const ofCodes = (codes: string): string =>
  String.fromCodePoint(
    ...codes
      .trim()
      .split(' ')
      .map((code) => Number.parseInt(code, 16)),
  );
/** Of ASCII only I and | count, which look like l. Else one plain word would be flagged for another: modern for modem. */
const PROTOTYPES = new Map(
  [...source.matchAll(/^([0-9A-F]+) *;\s*([0-9A-F ]+?) *;/gm)]
    .map(([, from, to]): [string, string] => [ofCodes(from!), ofCodes(to!)])
    .filter(([from]) => !ASCII.test(from) || from === 'I' || from === '|')
    .map(([from, to]) => [from, to.replaceAll('rn', 'm')]),
);

const stripped = (text: string): string =>
  text.normalize('NFKD').replace(/\p{Default_Ignorable_Code_Point}|\p{M}/gu, '');
const small = (text: string): string => stripped(text).toLowerCase().replaceAll('ς', 'σ').replaceAll('ß', 'ss');
const prototypes = (text: string): string => [...text].map((one) => PROTOTYPES.get(one) ?? one).join('');

/** Folds a text in small letters until nothing changes any more. */
function folded(text: string): string {
  let now = small(text);
  for (let next = ''; ; now = next) {
    next = small(prototypes(now));
    if (next === now) return now;
  }
}

const letters = new Map<string, string>();
const looks = new Map<string, string>();
for (const [from, to] of PROTOTYPES) {
  const isSmall = from.toLowerCase() === from;
  const isWord = /[\p{L}\p{N}]/u.test(from);
  // A letter that became a sign would end a word.
  const look = isWord ? stripped(to).replace(/[^\p{L}\p{N}]/gu, '') : stripped(to);
  // NFKD changes it anyway, or it loses its marks.
  if (stripped(from) !== from || look === '') continue;
  if (isSmall && (isWord || !/[\p{L}\p{N}]/u.test(look))) {
    if (folded(look) !== from) letters.set(from, folded(look));
  } else if (isSmall || folded(look) !== folded(from)) looks.set(from, look);
}
for (const [first, styled] of STYLED)
  for (const [at, letter] of [...styled].entries()) letters.set(String.fromCodePoint(first + at), letter);

const codes = (text: string): string => [...text].map((one) => one.codePointAt(0)!.toString(16)).join('+');
function table(map: ReadonlyMap<string, string>): string {
  const groups = new Map<string, string[]>();
  for (const [from, to] of map) groups.set(codes(to), [...(groups.get(codes(to)) ?? []), codes(from)]);
  return [...groups].map(([to, from]) => `${to} ${from.join(' ')}`).join('\n');
}

writeFileSync(
  OUT,
  `/**
 * write-confusables.ts writes this file, from confusables.txt of Unicode ${version} (UTS 39). Copyright © Unicode, Inc.,
 * under the Unicode License v3: https://www.unicode.org/license.txt
 *
 * Each line has a text, then all characters that look like it. They are hexadecimal code points.
 */

/** Small letters, letters without case, numbers and punctuation. */
export const LETTERS = \`
${table(letters)}
\`;

/** Capitals that look like another letter than their small letters do, and signs that look like a letter. */
export const LOOKS = \`
${table(looks)}
\`;
`,
);
