import { ApiFault, faultOf, pathOf, type Query } from './client.ts';

const PAGE = '200';
/** 50 pages of 200: who needs more than 10,000 rows takes them from the API by a script. */
const PAGES_MAX = 50;
const TIMEOUT_MS = 60_000;

/** All rows of a list as one file of CSV, which the browser saves. Returns whether that is all of them. */
export async function saveCsv(path: string, query: Query, name: string): Promise<boolean> {
  const parts: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await ask(pathOf(path, { ...query, limit: PAGE, cursor }));
    const text = await answer.text();
    parts.push(page === 0 ? text : text.slice(text.indexOf('\n') + 1));
    cursor = answer.headers.get('x-next-cursor') ?? undefined;
    if (cursor === undefined) break;
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/csv' }));
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(url);
  return cursor === undefined;
}

async function ask(path: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`/admin/v1${path}`, {
      headers: { accept: 'text/csv' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiFault('Daypass does not answer. Nothing was saved; try again.', 0, 'offline', null, null, true);
  }
  if (!answer.ok) throw await faultOf(answer);
  return answer;
}
