/** What shows a preview of a link in a chat reads HTML, though few of them say so. */
const PREVIEWS = /bot\b|facebookexternalhit|whatsapp|skypeuripreview|mastodon|embedly|iframely|preview/i;

/** Whether the reader of a page asks for HTML by name, as browsers do. */
export function wantsHtml({ accept = '' }: { accept?: string | undefined }): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return (
      (type === 'text/html' || type === 'application/xhtml+xml') && !parameters.some((one) => /^q=0(\.0*)?$/.test(one))
    );
  });
}

/** Whether a claim link answers with its page. Others, such as curl, get lines of text. */
export function wantsPage(headers: { accept?: string | undefined; 'user-agent'?: string | undefined }): boolean {
  return wantsHtml(headers) || PREVIEWS.test(headers['user-agent'] ?? '');
}
