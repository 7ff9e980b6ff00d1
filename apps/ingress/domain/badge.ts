/** Pixels of Verdana at 11 px, which badges are written in. Other characters count as wide as a digit. */
const WIDTHS: Readonly<Record<string, number>> = Object.fromEntries(
  [
    [3, 'il'],
    [3.9, 'fj '],
    [4.5, 'rt'],
    [5.8, 'csz'],
    [6.6, 'aekovxy'],
    [6.9, 'bdghnpqu'],
    [9, 'w'],
    [10.7, 'm'],
  ].flatMap(([width, characters]) => [...(characters as string)].map((one) => [one, width])),
) as Record<string, number>;
const DIGIT_PX = 7;
const PADDING_PX = 6;
const HEIGHT_PX = 20;
const LABEL = 'free key';
/** White is readable on each of them (WCAG AA). */
const COLORS = { label: '#484848', open: '#2a7a2e', closed: '#8a3a1c' };
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export interface Badge {
  /** Readers hear it, and a mouse shows it. */
  title: string;
  /** The right half: `63 left`. */
  text: string;
  open: boolean;
}

/** A picture for a README: what a link has left. It asks no other host for anything, also for no font. */
export function badgeSvg({ title, text, open }: Badge): string {
  const [left, right] = [LABEL, text].map((words) => widthOf(words) + 2 * PADDING_PX) as [number, number];
  const words = (content: string, at: number): string =>
    `<text x="${at + PADDING_PX}" y="14" textLength="${widthOf(content)}" lengthAdjust="spacingAndGlyphs">${escaped(content)}</text>`;
  const name = escaped(`${title}: ${LABEL}, ${text}`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="${HEIGHT_PX}" role="img" aria-label="${name}">`,
    `<title>${name}</title>`,
    `<clipPath id="r"><rect width="${left + right}" height="${HEIGHT_PX}" rx="3"/></clipPath>`,
    '<g clip-path="url(#r)">',
    `<rect width="${left}" height="${HEIGHT_PX}" fill="${COLORS.label}"/>`,
    `<rect x="${left}" width="${right}" height="${HEIGHT_PX}" fill="${open ? COLORS.open : COLORS.closed}"/>`,
    '</g>',
    '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">',
    words(LABEL, 0),
    words(text, left),
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const widthOf = (words: string): number =>
  Math.ceil([...words].reduce((sum, one) => sum + (WIDTHS[one.toLowerCase()] ?? DIGIT_PX), 0));

/** XML knows no control characters, and an operator wrote the title. */
const escaped = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, ' ').replaceAll(/[&<>"']/g, (one) => ENTITIES[one]!);
