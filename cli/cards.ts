import { encode } from 'uqr';
import type { z } from 'zod';
import type { newCodesAnswer } from '#libs/contracts/admin/claims.js';

/** Ten on a sheet of A4 or Letter. */
const STYLE = `@page { margin: 10mm } body { margin: 0; font: 8.5pt/1.3 system-ui, sans-serif; color: #000; background: #fff }
main { display: grid; grid-template-columns: 1fr 1fr; max-width: 190mm }
article { display: grid; grid-template-columns: 26mm 1fr; gap: 4mm; padding: 4mm; height: 42mm; border: 1px dashed #999;
  align-items: center; break-inside: avoid }
b { font-size: 10pt } code { display: block; margin: 1mm 0; font-size: 11.5pt; font-weight: 700 } p { margin: 0 }
ol { margin: 1mm 0 0; padding-left: 4mm; overflow-wrap: anywhere }`;
const TIME = { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } as const;

const safe = (text: string): string => text.replaceAll(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

/** A page to print: a card for each code, with a QR code that fills it in. */
export function cards({ data }: z.output<typeof newCodesAnswer>, title: string, link: string): string {
  const steps = [`Scan, or open ${link.replace(/^https?:\/\//, '')}`, 'Enter the code, press “Get my key”'];
  const how = [...steps, 'Copy the key into your program'].map((step) => `<li>${safe(step)}</li>`).join('');
  const slips = data.map(({ code, label, url, expires_at: at }) => {
    const until = at && `<p>until ${new Date(at).toLocaleString('en-GB', { ...TIME, timeZoneName: 'short' })}</p>`;
    const named = `<b>${safe(title)}</b>${label && ` · ${safe(label)}`}<code>${code}</code>${until ?? ''}`;
    return `<article>${drawn(url)}<div>${named}<ol>${how}</ol></div></article>`;
  });
  const head = `<meta charset="utf-8"><title>${safe(title)}: ${data.length} cards</title><style>${STYLE}</style>`;
  return `<!doctype html><html lang="en">${head}<main>\n${slips.join('\n')}\n</main></html>\n`;
}

function drawn(text: string): string {
  const { data, size } = encode(text, { ecc: 'M', border: 3 });
  const path = data.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')));
  return `<svg viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><path d="${path.join('')}"/></svg>`;
}
