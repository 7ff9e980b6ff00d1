#!/usr/bin/env node
import { createWriteStream, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Command, CommanderError } from 'commander';
import { renderUnicodeCompact } from 'uqr';
import type { z } from 'zod';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { LinkView, newCodesAnswer } from '#libs/contracts/admin/claims.js';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import { ask, at, call, EXIT, Failure, list, type Fields } from './admin.api.js';
import { cards } from './cards.js';
import { COMMANDS, GROUPS, LINK } from './commands.js';
import { review, textsOf, watch } from './live.js';
import { fieldsOf, put, wishesOf } from './options.js';
import { print, show } from './show.js';

type Given = { json?: boolean; csv?: boolean; lines?: number } & Partial<Record<string, string>>;
const ROWS = '50';
const LINKS_MOST = 5_000;
/** As the console's wizard sets them. */
const STRIKES = { cooldown_after: 3, cooldown_seconds: 600, suspend_after: 5, window_seconds: 86_400 };

const program = new Command('daypass')
  .description('Does in a shell what an operator does in the console. docs/cli.md explains it.')
  .option('--json', 'the answer as JSON, for scripts')
  .exitOverride()
  .showHelpAfterError('(--help says what it takes)');
const groups = new Map(Object.entries(GROUPS).map(([name, about]) => [name, program.command(name).description(about)]));

/** `run` answers what is shown; nothing where it printed by itself. `shown`: columns, or who shows it. */
function add<A extends unknown[] = string[]>(
  usage: string,
  about: string,
  options: string,
  run: (given: Given, ...args: A) => unknown,
  shown?: string,
): void {
  const group = groups.get(usage.split(' ', 1)[0]!);
  const command = (group ?? program).command(group ? usage.replace(/^\S+ /, '') : usage).description(about);
  for (const { option } of wishesOf(options)) command.addOption(option);
  command.action(async () => {
    const given = command.optsWithGlobals<Given>();
    const answer = await run(given, ...(command.processedArgs as A));
    if (answer === undefined) return;
    const { ok, failed = [] } = ((answer as Fields).data ?? {}) as { ok?: boolean; failed?: unknown[] };
    if (ok === false || failed.length > 0) process.exitCode = EXIT.refused;
    if (shown === 'link' && !given.json) handOut(answer as LinkView);
    else if (shown === 'texts' && !given.json) print(textsOf(answer as RequestView));
    else show(answer, given, shown?.split(' '));
  });
}

/** Sends what the row of the table says. Several ids in an address: a request for each. */
async function send(
  row: { usage: string; request: string; options: string; isList: boolean },
  given: Given,
  args: unknown[],
) {
  const [method = '', address = '', ...fixed] = row.request.split(' ');
  const fields = fieldsOf(wishesOf(row.options), given);
  for (const [name = '', value] of fixed.map((one) => one.split('='))) put(fields, name, value === 'true' || value);
  const [inPath, names] = [address.split(':').length - 1, [...row.usage.matchAll(/[<[](\w+)/g)]];
  for (const [index, [, name = '']] of names.entries()) if (index >= inPath) put(fields, name, args[index]);
  const pathTo = (id: unknown): string => address.replace(':', encodeURIComponent(String(id)));
  if (row.isList) return { data: await list(pathTo(args[0]), fields, Number(given.limit ?? ROWS)) };
  if (inPath === 0 || !Array.isArray(args[0])) return call(method, pathTo(args[0]), fields);
  const data: unknown[] = [];
  for (const id of args[0]) data.push(bare(await call(method, pathTo(id), fields)));
  return { data };
}
const bare = (answer: unknown): unknown => (answer as { data?: unknown }).data ?? answer;

for (const line of COMMANDS.trim().split('\n')) {
  const [usage = '', about = '', request = '', wish = '', shown] = line.split('|').map((part) => part.trim());
  const isList = request.startsWith('GET') && shown?.includes(' ') === true;
  const options = isList ? `${wish} limit csv` : wish;
  const row = { usage, request, options: wish.replace(/\bcsv\b/, ''), isList };
  add<unknown[]>(usage, about, options, (given, ...args) => send(row, given, args), shown);
}

function handOut({ id, status, url, gates, max_claims: most, warnings = [] }: LinkView): void {
  print(`link     ${id}  ${status}\nopen     ${url}\nbadge    [![free key](${url}/badge.svg)](${url})`);
  // White and black on every terminal: not every camera reads the other way round.
  const lines = renderUnicodeCompact(url, { ecc: 'M', border: 2 }).split('\n');
  process.stdout.write(lines.map((line) => `\x1b[97;40m${line}\x1b[0m\n`).join(''));
  for (const warning of warnings) print(`warning  ${warning}`);
  if (gates.includes('code')) print(`next     daypass codes create ${id} ${most} --cards cards.html`);
}

const LAUNCH = 'budget! each! for! models! slug gate count per-ip starts ends';
add('launch <name>', 'make a campaign and its claim link', LAUNCH, async (given, name) => {
  const { budget: budget_usd, models, each, for: ttl_seconds, json } = given;
  const slug = name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  const campaign = await call<CampaignView>('POST', '/campaigns', {
    ...{ slug: given.slug ?? slug, name, budget_usd, models, moderation: { strikes: STRIKES } },
    ...{ key_defaults: { budget_usd: each, ttl_seconds }, claim: { title: name } },
  });
  if (!json) print(`campaign ${campaign.slug}  $${campaign.budget_usd}`);
  const fields = { ...fieldsOf(wishesOf(LINK), given), name };
  const link = await call<LinkView>('POST', at`/campaigns/${campaign.slug}/links`, fields);
  return json ? { campaign, link } : handOut(link);
});

for (const [act, from, status] of [
  ['pause', 'open', 'paused'],
  ['resume', 'paused', 'open'],
] as const)
  add(`campaigns ${act} <slug>`, `let its links be ${status}`, '', async (_, slug) => {
    const links = await list<LinkView>(at`/campaigns/${slug}/links`, {}, LINKS_MOST);
    const data = links.filter((link) => link.status === from).map(({ id, name }) => ({ id, name, status }));
    for (const { id } of data) await call('PATCH', at`/links/${id}`, { status });
    return { data };
  });

const CODE = 'id label code url expires_at';
add(
  'codes create <link> [count]',
  'shown once',
  'labels ends csv cards',
  async (given, link, count) => {
    // A file that cannot be written is found out before there are codes.
    const to = given.cards === '-' ? 1 : given.cards && openSync(given.cards, 'w', 0o600);
    const { name, campaign, url } = await call<LinkView>('GET', at`/links/${link}`);
    const { claim } = await call<CampaignView>('GET', at`/campaigns/${campaign}`);
    const fields = { ...fieldsOf(wishesOf('labels ends'), given), ...(count ? { count: Number(count) } : {}) };
    const made = await call<z.output<typeof newCodesAnswer>>('POST', at`/links/${link}/codes`, fields);
    if (to) writeSync(to as number, cards(made, claim?.title ?? name, url));
    return to && !given.csv && !given.json ? undefined : made;
  },
  CODE,
);

add('door [state]', 'shut it to new calls and claims, open it, or look at it', 'note', ({ note }, state) =>
  state === undefined ? call('GET', '/door') : call('PUT', '/door', { state, note }),
);
add('watch', 'what happens, a line a second', 'lines', watch);
add('review', 'flagged calls, one after the other', 'campaign', ({ campaign }) => review(campaign));
add('verify', 'prove the books and the record', '', async () => {
  const [books, record] = [await call<Proof>('GET', '/ledger/verify'), await call<Proof>('GET', '/audit/verify')];
  return { data: { ok: books.ok && record.ok, books, record } };
});
type Proof = { ok: boolean };

const FILES = {
  'checks.jsonl': '/checks/export',
  'calls.csv': '/requests/export',
  'acts.csv': '/acts/export',
  'statement.csv': '/statement/export',
  'policies.jsonl': '/policies/export',
  'books.json': '/ledger/verify',
  'record.json': '/audit/verify',
  'bill.json': '/reconciliation',
};
add(
  'audit export',
  'checks, calls, acts, the statement, policies and proofs as files',
  'since! until out!',
  async ({ since, until, out = '' }) => {
    mkdirSync(out, { recursive: true, mode: 0o700 });
    for (const [name, path] of Object.entries(FILES)) {
      const period = name === 'policies.jsonl' ? { until } : { since, until };
      const query = path.endsWith('/export') ? { ...period, format: name.split('.')[1] } : {};
      await pipeline((await ask('GET', path, query)).body!, createWriteStream(join(out, name), { mode: 0o600 }));
    }
    return { data: readdirSync(out).map((name) => ({ file: join(out, name) })) };
  },
);
add('api <method> <path> [json]', 'any other request, such as: api GET /campaigns', '', (_, method, path, json) => {
  return call(method.toUpperCase(), path, json === undefined ? {} : (JSON.parse(json) as Fields));
});

// Whoever reads only the begin, as head does, has closed the pipe.
process.stdout.on('error', () => process.exit(0));
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  else {
    process.stderr.write(`daypass: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof Failure ? error.exitCode : EXIT.usage;
  }
}
