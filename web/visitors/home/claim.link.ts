const TOKEN = /^[A-Za-z0-9-]{3,64}$/;
const PATH = /^\/c\/([A-Za-z0-9-]{3,64})\/?$/;

/** Where a typed or pasted claim link leads: a path of this Daypass, or what is wrong with it. */
export function readLink(typed: string, origin: string): { path: string } | { mistake: string } {
  const text = typed.trim();
  if (text === '') return { mistake: 'Paste your link first.' };
  if (text.startsWith('dp_')) return { mistake: 'This is a key, not a link: paste it below.' };
  if (TOKEN.test(text)) return { path: `/c/${text}` };
  // People copy addresses without `http://`.
  const url = urlOf(text) ?? urlOf(`${new URL(origin).protocol}//${text}`);
  const token = url && PATH.exec(url.pathname)?.[1];
  if (!url || token === undefined)
    return { mistake: 'This is no claim link. One looks like this: ' + `${origin}/c/k7f3Qx09abCD.` };
  if (url.host !== new URL(origin).host)
    return { mistake: `This link belongs to ${url.host}: open it in the address bar of your browser.` };
  // A printed code stands behind the #, which no server sees.
  return { path: `/c/${token}${url.hash}` };
}

function urlOf(text: string): URL | null {
  return /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : null;
}
