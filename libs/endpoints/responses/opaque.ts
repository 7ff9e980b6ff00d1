/**
 * Encrypted content that only the upstream that made it can read. Daypass shows it with that upstream's tag
 * (`UpstreamTraits.tag`): `dp<tag>.<content>`. The first upstream's has none.
 */
const TAGGED = /^dp([0-9a-f]{8})\./;

/** An assumption: base64 of encrypted text is larger than two bytes a token. */
const BYTES_PER_TOKEN = 2;

/** Tokens of content that nobody counted, at most. */
export const mostTokensIn = (characters: number): number => Math.ceil(characters / BYTES_PER_TOKEN);

export function tagged(content: string, tag: string): string {
  return tag === '' ? content : `dp${tag}.${content}`;
}

/** As the upstream of this tag made it. null: another one did. */
export function untagged(content: string, tag: string): string | null {
  const of = TAGGED.exec(content);
  if ((of?.[1] ?? '') !== tag) return null;
  return of ? content.slice(of[0].length) : content;
}
