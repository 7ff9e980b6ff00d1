/** An address that a page may lead to, or null: an operator's text never becomes a script. */
export function safeHref(text: string | null | undefined): string | null {
  if (!text) return null;
  try {
    const { protocol, href } = new URL(text);
    return ['https:', 'http:', 'mailto:'].includes(protocol) ? href : null;
  } catch {
    return /^[^\s@/]+@[^\s@/]+\.[^\s@/]+$/.test(text) ? `mailto:${text}` : null;
  }
}
