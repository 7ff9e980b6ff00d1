// Puts real clients to work with a Daypass key: from npm, and from PyPI where there is Python. Each has two turns with a
// tool that it runs itself, with state and streaming as it does by default. It gets the base URL and the key, nothing else.
// `node test/clients/run.ts [--write] [names of clients]`; `--write` writes the table of docs/clients.md.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaypass, type TestKey } from '#libs/testing/daypass.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { parseUsd } from '#libs/money/nano.js';
import { until } from '#libs/testing/until.js';
import { NODE_CLIENTS, PYTHON_CLIENTS, type Client, type Facts } from './clients.ts';
import { installFromNpm, installFromPyPi } from './setup.ts';
import { documentedTable, rowOf, tableOf, writeTable, type Row } from './table.ts';
import { lookForIds } from './stranger.ts';
import { knowWeather } from './upstream.ts';
import { answerOf, FLAGGED_QUESTION } from './weather.ts';
import { Wire, type Exchange } from './wire.ts';

const MODELS = [
  'gpt-5.4-mini',
  // opencode asks it for titles.
  'gpt-5.4-nano',
  // The Agents SDKs and llm ask it by default.
  'gpt-5.6-luna',
  // Codex asks it by default.
  'gpt-6.2-sol',
  'text-embedding-3-small',
  'gpt-image-2',
  // LlamaIndex asks it by default.
  'text-embedding-ada-002',
  'whisper-1',
  'gpt-4o-transcribe',
  'gpt-4o-mini-tts',
];
/** No list of prices has it yet. */
const PRICES = { 'gpt-6.2-sol': { input_usd_per_million: 5, output_usd_per_million: 30, encoding: 'o200k_base' } };
/** Of one page of the admin API. */
const LISTED_MAX = 200;
const total = { passed: 0, failed: 0 };
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const write = process.argv.includes('--write');
const home = mkdtempSync(join(tmpdir(), 'daypass-clients-'));

installFromNpm();
const obstacle = await installFromPyPi();
if (obstacle !== null) process.stdout.write(`The clients of Python were not tried: ${obstacle}\n`);
const all = [...NODE_CLIENTS, ...PYTHON_CLIENTS];
const able = [...NODE_CLIENTS, ...(obstacle === null ? PYTHON_CLIENTS : [])].filter(
  ({ binary }) => binary === undefined || existsSync(binary),
);
for (const { name, binary } of NODE_CLIENTS)
  if (binary !== undefined && !existsSync(binary)) process.stdout.write(`${name} was not tried: no ${binary}\n`);
const clients = able.filter(({ name }) => names.length === 0 || names.includes(name));
assert.ok(clients.length > 0, `no client has such a name; there are ${all.map(({ name }) => name).join(', ')}`);
const daypass = await startDaypass({ config: { prices: PRICES } });
try {
  const rows: Row[] = [];
  for (const client of clients) rows.push(await visit(client));
  await check('the books balance, and every hold has ended', booksAreAtRest);
  const table = await tableOf(rows);
  if (clients.length < all.length) process.stdout.write(`${table}\n`);
  else if (write) writeTable(table);
  else
    await check('docs/clients.md has the table of what was seen (else: --write)', () =>
      assert.equal(documentedTable(), table),
    );
} finally {
  await daypass.stop();
  rmSync(home, { recursive: true, force: true });
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = total.failed === 0 ? 0 : 1;

/** Lets one client do all its scenarios with a key of its own. */
async function visit(client: Client): Promise<Row> {
  daypass.rehearsal.reset();
  knowWeather(daypass.rehearsal);
  const campaign = { models: MODELS, budget_usd: '100' };
  const key = await daypass.createKey({ campaign, key: { budget_usd: '40' } });
  const stranger = await daypass.createKey({ campaign: key.campaign, key: { budget_usd: '40' } });
  const wire = await Wire.open(daypass.baseUrl);
  const ownHome = mkdtempSync(join(home, 'client-'));
  const title = `${client.name} ${client.version}`;
  const startedMs = performance.now();
  let facts: readonly Facts[] = [];
  await check(`${title} ran`, async () => {
    facts = await client.use({ baseUrl: wire.url, key: key.key, home: ownHome });
  });
  wire.close();
  for (const scenario of client.scenarios)
    await check(`${title}: ${scenario}`, () => lookAt(facts.find((fact) => fact.scenario === scenario)));
  await check(`${title}: each request was sent once, and stateless`, () => lookAtCalls(client, wire.exchanges));
  await check(`${title}: each call was paid once`, () => lookAtBooks(key));
  await check(`${title}: another key finds none of its ids`, () =>
    lookForIds(daypass.baseUrl, key, stranger, wire.exchanges),
  );
  process.stdout.write(`        ${wire.exchanges.length} requests, ${Math.round(performance.now() - startedMs)} ms\n`);
  if (process.env.DAYPASS_CLIENTS_WIRE) keepWire(process.env.DAYPASS_CLIENTS_WIRE, client, wire.exchanges);
  return rowOf(client, facts, wire.exchanges);
}

function lookAt(fact: Facts | undefined): void {
  assert.ok(fact, 'the client told nothing of it');
  if (fact.error !== undefined) assert.fail(fact.error);
  if (fact.turns) assert.deepEqual(fact.turns, [answerOf(fact.city!, 1), answerOf(fact.city!, 2)]);
  if (fact.deltas !== undefined) assert.ok(fact.deltas >= 2, `the stream came in ${fact.deltas} pieces`);
  if (fact.shown !== undefined) assert.ok(!fact.shown.includes(FLAGGED_PHRASE), fact.shown);
}

/** What reached the upstream, against what the client sent. */
function lookAtCalls(client: Client, exchanges: readonly Exchange[]): void {
  const deleted = exchanges.filter(({ method, status }) => method === 'DELETE' && status === 200);
  for (const { method, path, status, answer, headers } of exchanges) {
    if (headers.upgrade) assert.equal(status, 426);
    // A program that deletes something asks whether it is gone.
    else if (!deleted.some((one) => one.path === path && status === 404))
      assert.ok(status < 400, `${method} ${path} was answered ${status}: ${answer}`);
  }
  const postsTo = (path: string): number =>
    exchanges.filter((one) => one.method === 'POST' && one.path === path).length;
  const sent = daypass.rehearsal.responsesCalls();
  assert.equal(sent.length, postsTo('/v1/responses') + postsTo('/v1/responses/compact'));
  assert.equal(daypass.rehearsal.chatCalls().length, postsTo('/v1/chat/completions'));
  for (const { body, state, compacts } of sent) {
    assert.equal(state, 'finished');
    assert.equal(body.store, compacts ? undefined : false);
    for (const name of ['previous_response_id', 'conversation', 'metadata']) assert.equal(body[name], undefined, name);
    const items = Array.isArray(body.input) ? body.input : [];
    for (const item of items) assert.equal((item as { id?: string }).id, undefined);
  }
  const flagged = exchanges.filter(({ body }) => JSON.stringify(body).includes(FLAGGED_QUESTION));
  assert.equal(flagged.length, client.blockedCalls);
}

/** Every call of the key has ended, is on record, and was paid once. */
async function lookAtBooks({ key, id }: TestKey): Promise<void> {
  const calls =
    daypass.rehearsal.responsesCalls().length +
    daypass.rehearsal.chatCalls().length +
    daypass.rehearsal.embeddingsCalls().length +
    daypass.rehearsal.imagesCalls().length +
    daypass.rehearsal.heardCalls().length +
    daypass.rehearsal.spokenCalls().length;
  let rows: { result: string; paid_usd: string }[] = [];
  await until(`${calls} calls are on record, and none runs`, async () => {
    rows = (await daypass.admin(`/admin/v1/requests?key=${id}&limit=${LISTED_MAX}`)).body.data;
    return rows.length === calls && rows.every(({ result }) => result !== 'running');
  });
  assert.deepEqual([...new Set(rows.map(({ result }) => result))], ['posted']);
  const answer = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = (await answer.json()) as { data: { held_usd: string; spent_usd: string } };
  const paidNano = rows.reduce((sum, { paid_usd }) => sum + parseUsd(paid_usd), 0n);
  assert.deepEqual([parseUsd(data.held_usd), parseUsd(data.spent_usd)], [0n, paidNano]);
}

async function booksAreAtRest(): Promise<void> {
  for (const books of ['ledger', 'audit'])
    await until(`${books}/verify has nothing to say`, async () => {
      const { body } = await daypass.admin(`/admin/v1/${books}/verify`);
      return body.ok === true;
    });
}

/** Writes what went by into a folder, for whoever wants to look. */
function keepWire(folder: string, client: Client, exchanges: readonly Exchange[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${client.name.replaceAll(/\W+/g, '-')}.json`), JSON.stringify(exchanges, null, 2));
}

async function check(name: string, verify: () => void | Promise<void>): Promise<void> {
  try {
    await verify();
    total.passed++;
    process.stdout.write(`ok      ${name}\n`);
  } catch (error) {
    total.failed++;
    process.stdout.write(`FAILED  ${name}\n${error instanceof Error ? error.message : String(error)}\n`);
  }
}
