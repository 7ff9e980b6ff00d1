/** How people say what a meter counts. Cached tokens are among those that went in. */
const WORDS: readonly [meter: string, words: string][] = [
  ['image_input', 'image tokens in'],
  ['image_output', 'image tokens out'],
  ['audio_input', 'sound tokens in'],
  ['audio_output', 'sound tokens out'],
  ['seconds', 's of sound'],
  ['characters', 'characters'],
];
const TEXT: typeof WORDS = [
  ['input', 'tokens in'],
  ['output', 'tokens out'],
];

/** Images, sound and characters of a call; '': it used none. */
export function besideText(usage: Readonly<Record<string, number>> | undefined): string {
  return said(usage, WORDS);
}

/** All that a call used; '': nobody knows. */
export function usageWords(usage: Readonly<Record<string, number>> | undefined): string {
  return said(usage, [...TEXT, ...WORDS]);
}

function said(usage: Readonly<Record<string, number>> = {}, words: typeof WORDS): string {
  return words
    .flatMap(([meter, of]) => {
      const count = usage[meter];
      return count === undefined ? [] : `${count.toLocaleString('en')} ${of}`;
    })
    .join(', ');
}
