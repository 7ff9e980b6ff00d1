import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { BLOCKED, type Client, type Facts } from './clients.ts';
import type { Exchange } from './wire.ts';

const DOCUMENT = join(import.meta.dirname, '../../docs/clients.md');
const [BEGIN, END] = ['<!-- test/clients writes this table -->', '<!-- end of the table -->'];

/** What a row says of one client. */
export interface Row {
  client: string;
  version: string;
  endpoints: string;
  state: string;
  tested: string;
  differs: string;
  blocked: string;
}

/** A row of docs/clients.md, from what the client told and what went by on the wire. */
export function rowOf(client: Client, facts: readonly Facts[], exchanges: readonly Exchange[]): Row {
  return {
    client: client.name,
    version: client.version,
    endpoints: listed(exchanges.flatMap(endpointsOf)),
    state: listed(exchanges.flatMap(stateOf)) || 'none',
    tested: client.scenarios.filter((scenario) => scenario !== BLOCKED).join('; '),
    differs: listed(exchanges.flatMap(differencesOf)) || 'nothing',
    blocked: facts.find(({ scenario }) => scenario === BLOCKED)?.told || 'nothing',
  };
}

export async function tableOf(rows: readonly Row[]): Promise<string> {
  const head = [
    'Client',
    'Version',
    'Endpoints',
    'State that it relies on',
    'Tested',
    'Left out or changed',
    'Told of a blocked answer',
  ];
  const cells = rows.map((row) => [
    row.client,
    row.version,
    row.endpoints,
    row.state,
    row.tested,
    row.differs,
    row.blocked,
  ]);
  const lines = [head, head.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`);
  return (await format(lines.join('\n'), { parser: 'markdown' })).trim();
}

/** The table in docs/clients.md, or undefined where there is none. */
export function documentedTable(): string | undefined {
  const text = readFileSync(DOCUMENT, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  return begin < 0 || end < begin ? undefined : text.slice(begin + BEGIN.length, end).trim();
}

export function writeTable(table: string): void {
  const text = readFileSync(DOCUMENT, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/clients.md has no place for the table: ${BEGIN} … ${END}`);
  writeFileSync(DOCUMENT, `${text.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${text.slice(end)}`);
}

function endpointsOf({ path, headers, status, body }: Exchange): string[] {
  const name =
    /^\/v1\/(chat\/completions|responses(?:\/compact)?|embeddings|conversations|(?:audio|images)\/[a-z]+)/.exec(
      path,
    )?.[1];
  if (name === undefined) return [];
  if (headers.upgrade) return [`${name} by WebSocket (${status})`];
  const { input } = (body ?? {}) as RequestBody;
  return [name === 'embeddings' && Array.isArray(input) && Array.isArray(input[0]) ? 'embeddings of tokens' : name];
}

const code = (text: string): string => `\`${text}\``;
const listed = (words: readonly string[]): string => [...new Set(words)].sort().join(', ');

interface RequestBody {
  store?: boolean | null;
  previous_response_id?: string | null;
  conversation?: unknown;
  input?: unknown;
}

function stateOf({ path, body }: Exchange): string[] {
  if (path.startsWith('/v1/conversations')) return ['conversations'];
  if (path !== '/v1/responses' || body === null) return [];
  const { store, previous_response_id, conversation, input } = body as RequestBody;
  const items = Array.isArray(input) ? (input as Record<string, unknown>[]) : [];
  return [
    ...(previous_response_id ? [code('previous_response_id')] : []),
    ...(conversation ? [code('conversation')] : []),
    ...(items.some(({ type }) => type === 'item_reference') ? [code('item_reference')] : []),
    ...(store !== false && items.some(({ id, type }) => id && type !== 'item_reference') ? ['ids of items'] : []),
    ...(items.some(({ encrypted_content: sealed }) => sealed) ? ['encrypted reasoning'] : []),
    ...(items.some(({ type }) => type === 'compaction') ? ['compacted items'] : []),
    ...(store === false ? [code('store: false')] : []),
  ];
}

function differencesOf({ answerHeaders }: Exchange): string[] {
  const adjusted = String(answerHeaders['x-daypass-adjusted'] ?? '');
  return adjusted.split(/,\s*/).filter(Boolean).map(code);
}
