import { isUtf8 } from 'node:buffer';

/** Text whatever its language. Of a table the provider makes words of its own, whose number nobody knows. */
const TYPES = [
  'text/(?!csv|tab-separated-values)[a-z0-9.+-]{1,60}',
  'application/(?:json|xml|x-yaml|yaml|javascript|typescript|toml|sql)',
];
export const FILE = new RegExp(
  `^data:(${TYPES.join('|')})(?:; ?charset=[uU][tT][fF]-8)?;base64,([A-Za-z0-9+/]*={0,2})$`,
);
const BOM = '\ufeff';

export interface TextFile {
  type: string;
  text: string;
}

/** null: no text file as a `data:` URL in base64, or no UTF-8. */
export function textFileIn(url: string): TextFile | null {
  const [, type, base64] = FILE.exec(url) ?? [];
  if (type === undefined || base64 === undefined) return null;
  const bytes = Buffer.from(base64, 'base64');
  if (!isUtf8(bytes)) return null;
  const text = bytes.toString('utf8');
  return { type, text: text.startsWith(BOM) ? text.slice(1) : text };
}

/** As it goes on: what was judged, and nothing else. */
export function writtenFile({ type, text }: TextFile): string {
  return `data:${type};base64,${Buffer.from(text).toString('base64')}`;
}
