/** What clients of OpenAI's API ask for, and Daypass does not serve. */
export interface NotOffered {
  /** Each with all below it, under any method unless one is named. `{id}` stands for any one part. */
  paths: readonly string[];
  why: string;
  instead: string;
}

/**
 * Every address of OpenAI's API that Daypass refuses by name, and Anthropic's. The answers, the tables of docs and the
 * tests are made of it. Whoever serves one of them removes its path here.
 */
export const NOT_OFFERED: readonly NotOffered[] = [
  {
    paths: ['/v1/files', '/v1/uploads'],
    why: "A file would stay in the operator's account after your key has ended, and nobody would judge it.",
    instead: 'Put the text or the image into the request itself.',
  },
  {
    paths: ['/v1/vector_stores'],
    why: "A vector store costs money each day after your key has ended, and a search's cost is in no usage report.",
    instead: 'Use POST /v1/embeddings, and keep the vectors yourself.',
  },
  {
    paths: ['/v1/batches'],
    why: 'A batch runs for a day, outlives your key, and nobody would judge it.',
    instead: 'Send single calls. A 429 of Daypass means: wait as `retry-after` says.',
  },
  {
    paths: ['/v1/containers'],
    why: "A container's fee is in no usage report, and one visitor could reach another visitor's files.",
    instead: 'Run the code on your own machine, and send its output.',
  },
  {
    paths: ['/v1/fine_tuning', '/v1/fine-tunes', '/v1/evals'],
    why: "A job of training or evaluation belongs to the operator's account, and runs on after your key has ended.",
    instead: 'Call a model of GET /v1/models with examples in the request.',
  },
  {
    paths: [
      '/v1/organization',
      '/v1/projects',
      '/v1/agents',
      '/v1/vaults',
      '/v1/skills',
      '/v1/chatkit',
      '/v1/live',
      '/v1/audio/voices',
      '/v1/audio/voice_consents',
      '/v1/content_provenance_checks',
      '/v1/safety',
    ],
    why: "It is about the operator's account, and no visitor's business.",
    instead: 'Ask your operator. GET /v1/key shows what your own key may do and has spent.',
  },
  {
    paths: ['/v1/webhook_endpoints', '/v1/webhook_event_types'],
    why: "Webhooks tell the operator's account, not a visitor.",
    instead: 'Read the answer of the call itself.',
  },
  {
    paths: ['/v1/decisions'],
    why: 'Nobody has published a price for it, so its cost has no bound.',
    instead: 'Use POST /v1/chat/completions with a `response_format`.',
  },
  {
    paths: ['/v1/assistants', '/v1/threads'],
    why: 'OpenAI ended its Assistants API on 2026-08-26.',
    instead: 'Use POST /v1/responses and /v1/conversations.',
  },
  {
    paths: ['/v1/videos'],
    why: 'OpenAI ended its video API on 2026-09-24.',
    instead: 'Nothing replaces it.',
  },
  {
    paths: ['/v1/images/variations'],
    why: 'OpenAI ended it with its last model, dall-e-2, on 2026-05-12.',
    instead: 'Use POST /v1/images/edits.',
  },
  {
    paths: ['/v1/realtime'],
    why: 'Nobody can judge sound before it is heard, and this version of Daypass serves no sessions.',
    instead: 'Use POST /v1/chat/completions with `stream`.',
  },
  {
    paths: ['GET /v1/chat/completions', '/v1/chat/completions/{id}'],
    why: 'Daypass stores no chat for you.',
    instead: 'Keep the answer of POST /v1/chat/completions yourself.',
  },
  {
    paths: ['/v1/messages'],
    why: "This is Anthropic's API. A Daypass key is for OpenAI's.",
    instead: "Use POST /v1/chat/completions with a client of OpenAI's API.",
  },
];

const ROWS = NOT_OFFERED.flatMap((row) => row.paths.map((shown) => ({ row, ...readPath(shown) })));

/** The paths without `/v1`, as far as each is the same for everybody. */
export const NOT_OFFERED_PATHS: readonly string[] = [
  ...new Set(ROWS.map(({ parts }) => `/${parts.slice(1, partsBeforeId(parts)).join('/')}`)),
];

/** The row of a request that no route serves. null: nobody knows its path. */
export function notOffered(method: string, url: string): NotOffered | null {
  const parts = partsOf(decoded(url.split(/[?#]/, 1)[0]!));
  const fits = ({ method: only, parts: wanted }: (typeof ROWS)[number]): boolean =>
    (only === null || only === method) &&
    wanted.length <= parts.length &&
    wanted.every((part, index) => part === '{id}' || part === parts[index]);
  return ROWS.find(fits)?.row ?? null;
}

function readPath(shown: string): { method: string | null; parts: string[] } {
  const [method, path] = shown.startsWith('/') ? [null, shown] : (shown.split(' ') as [string, string]);
  return { method, parts: partsOf(path) };
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function partsBeforeId(parts: readonly string[]): number {
  const index = parts.indexOf('{id}');
  return index < 0 ? parts.length : index;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
