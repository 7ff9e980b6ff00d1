import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import OpenAI from 'openai';
import decodeQR from 'qr/decode.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';

const COMMAND = resolve('dist/cli/daypass.js');
const model = 'gpt-5.4-mini';
/** Moves the cursor of a terminal, in one character. */
const CSI = '\u009b';
const name = `Cli ${randomBytes(5).toString('hex')}`;
const slug = name.toLowerCase().replace(' ', '-');

interface Ended {
  code: number;
  out: string;
  err: string;
}

describe('the command daypass', () => {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-cli-'));
  let daypass: SharedDaypass;
  let link: string;
  let url: string;
  beforeAll(async () => {
    daypass = await shareDaypass();
  });
  afterAll(async () => {
    await daypass?.admin('/admin/v1/door', { method: 'PUT', body: { state: 'open', note: 'the test is over' } });
    await daypass?.stop();
    rmSync(folder, { recursive: true });
  });

  const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> => {
    const access = { DAYPASS_ADMIN_URL: daypass.adminUrl, DAYPASS_ADMIN_TOKEN: daypass.adminToken };
    return new Promise((end) => {
      const { PATH, NODE_COMPILE_CACHE } = process.env;
      const options = { cwd: folder, env: { PATH, NODE_COMPILE_CACHE, DAYPASS_ACTOR: 'Ada', ...access, ...env } };
      execFile(command, args, options, (error, out, err) => end({ code: error ? Number(error.code) : 0, out, err }));
    });
  };
  /** Arguments with blanks between them; those with blanks inside follow. */
  const cli = (words: string, ...more: string[]) =>
    run(process.execPath, [COMMAND, ...words.split(' ').filter(Boolean), ...more]);
  const said = async (words: string, ...more: string[]): Promise<string> => {
    const { code, out, err } = await cli(words, ...more);
    expect({ words, code, err }).toEqual({ words, code: 0, err: '' });
    return out;
  };
  // The shape differs by command, and a test asserts what it needs of it.
  // oxlint-disable-next-line typescript/no-explicit-any
  const json = async (words: string, ...more: string[]): Promise<any> =>
    JSON.parse(await said(words, ...more, '--json'));
  const ask = (key: string, content: string): Promise<unknown> =>
    new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 }).chat.completions.create({
      model,
      messages: [{ role: 'user', content }],
    });

  it('launches a campaign: link, badge, and a QR code that a camera reads', async () => {
    const out = await said(`launch --budget 5 --each 0.50 --for 2h --models ${model},gpt-5.4-nano --count 7`, name);
    expect(out).toContain(`campaign ${slug}  $5.00`);
    url = /^open +(\S+)$/m.exec(out)![1]!;
    expect(out).toContain(`[![free key](${url}/badge.svg)](${url})`);
    expect(decodeQR(picture(out))).toBe(url);
    const [made] = (await json(`links list ${slug}`)).data;
    expect(made).toMatchObject({
      ...{ url, gates: ['pow'], max_claims: 7, per_ip_per_day: 3, name },
      key: { budget_usd: '0.50', ttl_seconds: 7_200 },
    });
    expect(await json(`campaigns show ${slug}`)).toMatchObject({
      ...{ models: [model, 'gpt-5.4-nano'], moderation: { strikes: { cooldown_after: 3 } }, claim: { title: name } },
      key_defaults: { budget_usd: '0.50', ttl_seconds: 7_200 },
    });
    link = made.id;
  });

  it('funds, pauses, closes and lists campaigns, and makes, tests and ends links', async () => {
    expect((await json(`campaigns fund ${slug} 1.50`)).budget_usd).toBe('6.50');
    expect(await said('campaigns list --limit 1')).toMatch(new RegExp(`^slug +name .*\\n${slug} +${name} +active`));
    expect(await said(`campaigns pause ${slug}`)).toContain(link);
    expect(await said(`links show ${link}`)).toContain(`${link}  paused`);
    const failing = await cli(`links test ${link} --json`);
    expect([failing.code, JSON.parse(failing.out).data.ok]).toEqual([1, false]);
    expect((await json(`campaigns resume ${slug}`)).data).toEqual([{ id: link, name, status: 'open' }]);
    // Nobody set DAYPASS_PUBLIC_URL, which is one of the steps.
    const steps = (await cli(`links test ${link}`)).out;
    expect(steps).toMatch(/^steps\nname +ok +text\nlink +true/m);
    expect(steps.match(/^\w+ +false .*/gm)).toEqual([expect.stringContaining('DAYPASS_PUBLIC_URL')]);
    const terms = '--name Room --gate code --per-ip 0 --each 0.25 --for 1h --ends 8h --starts 2026-01-01T00:00:00Z';
    const room = await json(`links create ${slug} ${terms} --models ${model}`);
    expect(room).toMatchObject({
      ...{ gates: ['code'], per_ip_per_day: 0, starts_at: '2026-01-01T00:00:00.000Z', max_claims: 100 },
      key: { budget_usd: '0.25', ttl_seconds: 3_600, models: [model] },
    });
    for (const [act, status] of Object.entries({ pause: 'paused', resume: 'open', close: 'closed' }))
      expect((await json(`links ${act} ${room.id}`)).status).toBe(status);
    expect((await json(`campaigns close ${slug}`)).status).toBe('closed');
    expect((await json(`campaigns reopen ${slug}`)).status).toBe('active');
  });

  it('makes codes as table, CSV and cards, and voids them', async () => {
    const { id } = await json(`links create ${slug} --name Codes --gate code`);
    expect((await json(`codes create ${id} 2`)).data).toHaveLength(2);
    const csv = await said(`codes create ${id} --csv --cards cards.html --labels`, '=Ada,<b>Grace</b>');
    const rows = csv.trim().split('\n');
    expect(rows[0]).toBe('id,label,code,url,expires_at');
    expect(rows[1]).toContain(",'=Ada,");
    const cards = readFileSync(join(folder, 'cards.html'), 'utf8');
    expect(statSync(join(folder, 'cards.html')).mode & 0o077).toBe(0);
    expect(cards.match(/<article>/g)).toHaveLength(2);
    expect(cards).toContain('&#60;b&#62;Grace');
    for (const row of rows.slice(1)) expect(cards).toContain(`<code>${row.split(',')[2]}</code>`);
    expect(decodeQR(drawing(cards))).toBe(rows[1]!.split(',')[3]);
    expect(await said(`codes create ${id} 1 --cards -`)).toMatch(/^<!doctype html>/);
    const away = await cli(`codes create ${id} 1 --cards none/cards.html`);
    expect([away.code, away.err]).toEqual([2, expect.stringContaining('none/cards.html')]);
    expect((await json(`codes list ${id}`)).data).toHaveLength(5);
    expect(await said(`codes void ${id}`)).toMatch(/^voided +5$/m);
  });

  it('makes keys, changes many or one, and tells who calls with them', async () => {
    const rows = (await said(`keys create --campaign ${slug} --labels Ada,Grace --each 0.10 --for 3h --csv`)).split(
      '\n',
    );
    const [[ada = '', , adasKey = ''] = [], [grace = ''] = []] = rows.slice(1).map((row) => row.split(','));
    expect((await json(`keys create --campaign ${slug} --count 2 --claimant`, 'Mary S')).data).toHaveLength(2);
    expect(await said(`keys list --campaign ${slug} --csv --limit 3`)).toMatch(/^id,prefix,label[\s\S]*\n(.*\n){3}$/);
    const dry = await json(`keys suspend --campaign ${slug} --note lunch --dry-run`);
    expect(dry.data).toMatchObject({ dry_run: true, matched: 4, changed: 4 });
    expect((await json(`keys suspend ${ada} ${grace} --note lunch`)).data.changed).toBe(2);
    expect((await json(`keys reinstate --campaign ${slug} --status suspended`)).data.changed).toBe(2);
    expect((await json(`keys extend ${ada} --by 1h`)).data.changed).toBe(1);
    expect((await json(`keys fund ${ada} --amount 0.05 --note more`)).data.changed).toBe(1);
    expect(await json(`keys show ${ada}`)).toMatchObject({ budget_usd: '0.15', status: 'active', label: 'Ada' });
    const strange = await cli(`keys revoke ${grace} key_none --note over --json`);
    expect([strange.code, JSON.parse(strange.out).data]).toMatchObject([1, { failed: [{ id: 'key_none' }] }]);
    expect((await json(`acts --subject ${grace}`)).data).toMatchObject([
      { actor: 'Ada', note: 'revoked: over' },
      {},
      {},
    ]);

    const [made] = (await json(`keys rotate ${ada}`)).data;
    await expect(ask(adasKey, 'hello')).rejects.toMatchObject({ status: 401 });
    await ask(made.key, `hello ${CSI}2J`);
    await expect(ask(made.key, 'DAYPASS-REHEARSAL-FLAG')).rejects.toMatchObject({ code: 'moderation_blocked' });
    await until('both calls are on record', async () => (await json(`calls list --key ${ada}`)).data.length === 2);
    const [blocked, answered] = (await json(`calls list --key ${ada}`)).data;
    const read = await said(`calls show ${answered.id} --reason`, 'a question');
    expect(read).toContain(`hello \\u009b2J`);
    expect(read).not.toContain(CSI);
    expect((await json(`acts --subject ${answered.id} --since 1h`)).data).toMatchObject([{ note: 'a question' }]);
    expect((await json('visitors list --sort flagged --limit 200')).data).toContainEqual(
      expect.objectContaining({ id: ada }),
    );
    await review(blocked.id, ada);
    expect((await json(`visitors suspend ${ada} --note no`)).data[0].keys_changed).toBe(0);
    expect((await json(`campaigns revoke-keys ${slug} ${slug} --note over`)).data.keys).toBe(3);
    await said(`visitors erase ${ada} --note asked`);
    expect((await json(`visitors show ${ada}`)).erased_at).not.toBeNull();
  });

  /** At a terminal of its own. */
  async function review(call: string, key: string): Promise<void> {
    const away = await cli('review');
    expect([away.code, away.err]).toEqual([2, expect.stringContaining('run it in a terminal')]);
    const pasted = `printf 'x\\ns\\n' | script -qec '"${process.execPath}" "${COMMAND}" review --campaign ${slug}' /dev/null`;
    const { out } = await run('bash', ['-c', pasted]);
    expect(out).toContain(call);
    expect(out).toContain('DAYPASS-REHEARSAL-FLAG');
    expect(out).toMatch(/input +blocked[\s\S]*violence 0\.99 \(limit/);
    expect((await json(`keys show ${key}`)).status).toBe('suspended');
    expect((await json(`calls list --campaign ${slug} --reviewed false`)).data).toEqual([]);
  }

  it('shows what the console shows, and ends with 1 where a proof fails', async () => {
    expect(await said('overview')).toMatch(/^running +\d+$[\s\S]*^services$/m);
    expect(await said('settings')).toMatch(/^visitors_url +http/m);
    expect(await said('lanes')).toMatch(/^lane +requests/);
    expect(await said('reconciliation')).toMatch(/^enabled +false$/m);
    expect((await json(`claims --campaign ${slug}`)).data).toEqual([]);
    expect((await json(`waitlist list --campaign ${slug}`)).data).toEqual([]);
    expect(await cli('waitlist invite --link none --count 1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('DAYPASS_SMTP_URL'),
    });
    expect((await json('verify')).data).toMatchObject({ books: { problems: [] }, record: { ok: true } });
    expect(await said('login-link')).toMatch(/\/console\/login#code=/);
    expect(await json(`api GET /campaigns/${slug}/funnel`)).toMatchObject({ data: { claimed: 0 } });
    expect(await json(`api PATCH /campaigns/${slug}`, '{"weight":2}')).toMatchObject({ weight: 2 });
    const lines = (await said('watch --lines 2')).trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\S+Z  \$\S+ today  \$\S+\/min  \d+ calls\/min .*door open/);
    expect(JSON.parse((await said('watch --lines 1 --json')).trim())).toMatchObject({ event: expect.any(String) });
  });

  it('shuts and opens the door', async () => {
    expect(await cli('door shut')).toMatchObject({ code: 1, err: expect.stringContaining('note') });
    expect((await json('door shut --note', 'a test')).data).toMatchObject({ state: 'shut', by: 'Ada' });
    expect(await said('door')).toMatch(/^state +shut$/m);
    expect((await json('door open --note over')).data.state).toBe('open');
  });

  it('exports proofs, checks, calls and acts of a period', async () => {
    await said('audit export --since 1h --out record/all');
    const files = readdirSync(join(folder, 'record/all'));
    const read = (file: string): string => readFileSync(join(folder, 'record/all', file), 'utf8');
    expect(files.sort()).toEqual([
      'acts.csv',
      'bill.json',
      'books.json',
      'calls.csv',
      'checks.jsonl',
      'policies.jsonl',
      'record.json',
      'statement.csv',
    ]);
    expect(read('statement.csv').split('\n').length).toBeGreaterThan(2);
    expect(JSON.parse(read('policies.jsonl').split('\n')[0]!)).toMatchObject({ policy: expect.any(Object) });
    expect(read('calls.csv')).toMatch(/^at,id,.*,checks,reviewed\n\S+,req_.*,false,/);
    expect(read('acts.csv')).toContain('over');
    expect(JSON.parse(read('checks.jsonl').split('\n')[0]!)).toMatchObject({ decision: expect.any(String) });
    expect(JSON.parse(read('record.json')).ok).toBe(true);
  });

  it('refuses with 1, names the request, and says what to do', async () => {
    const unknown = await cli('campaigns show none');
    expect([unknown.code, unknown.err]).toEqual([
      1,
      expect.stringMatching(/^daypass: .+ \(not_found, request \S+\)\n$/),
    ]);
    const wrong = await cli(`campaigns fund ${slug} 1e3`);
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('amount_usd: must not have an exponent')]);
    const { code, err } = await run(process.execPath, [COMMAND, 'lanes'], { DAYPASS_ADMIN_TOKEN: 'wrong' });
    expect([code, err]).toEqual([1, expect.stringContaining('DAYPASS_ADMIN_TOKEN')]);
  });

  it.each([
    ['', 'Usage: daypass'],
    ['keys lst', 'Did you mean list?'],
    ['launch x --budget 5', '--each <usd>'],
    ['keys extend key_1 --by soon', '30m, 24h or 7d'],
    ['keys list --limit many', 'whole number'],
    ['acts --since 2026-13-45', '2026-12-01T08:00:00Z'],
    ['keys list --colour red', "unknown option '--colour'"],
    ['api POST /door {state', 'JSON'],
  ])('ends with 2 and says how it is used: %s', async (words, message) => {
    expect(await cli(words)).toMatchObject({ code: 2, err: expect.stringContaining(message) });
  });

  it('ends with 2 without a token, and with 3 where nobody answers or it is not Daypass', async () => {
    const none = await run(process.execPath, [COMMAND, 'lanes'], { DAYPASS_ADMIN_TOKEN: '' });
    expect([none.code, none.err]).toEqual([2, expect.stringContaining('.daypass/admin-token')]);
    for (const DAYPASS_ADMIN_URL of ['http://127.0.0.1:1', new URL(daypass.rehearsal.url).origin]) {
      const { code, err } = await run(process.execPath, [COMMAND, 'lanes'], { DAYPASS_ADMIN_URL });
      expect([code, err]).toEqual([3, expect.stringContaining(`No Daypass answers at ${DAYPASS_ADMIN_URL}`)]);
    }
  });

  it('writes once where the answer is lost, because it repeats under its Idempotency-Key', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      seen.push(request.headers);
      const { authorization = '', 'idempotency-key': key } = request.headers;
      const answer = await fetch(`${daypass.adminUrl}${request.url}`, {
        method: 'POST',
        headers: { authorization, 'idempotency-key': String(key), 'content-type': 'application/json' },
        body: await text(request),
      });
      if (seen.length === 1) request.socket.destroy();
      else response.writeHead(answer.status).end(await answer.text());
    };
    const proxy = createServer((request, response) => void pass(request, response));
    await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
    try {
      const before = await json(`campaigns show ${slug}`);
      const DAYPASS_ADMIN_URL = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const args = [COMMAND, 'campaigns', 'fund', slug, '1'];
      expect(await run(process.execPath, args, { DAYPASS_ADMIN_URL })).toMatchObject({ code: 0 });
      const after = await json(`campaigns show ${slug}`);
      expect(Number(after.budget_usd) - Number(before.budget_usd)).toBe(1);
      expect(seen.map((headers) => headers['idempotency-key'])).toEqual([
        seen[0]!['idempotency-key'],
        seen[0]!['idempotency-key'],
      ]);
      expect(seen[0]!['idempotency-key']).toEqual(expect.any(String));
    } finally {
      proxy.close();
    }
  });
});

/** What a camera sees of dark and light squares. */
function photo(rows: boolean[][], scale = 4): { width: number; height: number; data: Uint8Array } {
  const [width, height] = [rows[0]!.length * scale, rows.length * scale];
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (rows[Math.floor(y / scale)]![Math.floor(x / scale)])
        data.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
  return { width, height, data };
}

/** Of a terminal: a character is two squares above each other, of which a full one is light. */
function picture(out: string): ReturnType<typeof photo> {
  // oxlint-disable-next-line no-control-regex
  const lines = [...out.matchAll(/^\u001b\[97;40m(.*)\u001b\[0m$/gm)].map(([, line]) => [...line!]);
  const dark = (light: string) => (line: string[]) => line.map((one) => !light.includes(one));
  return photo(lines.flatMap((line) => [dark('█▀')(line), dark('█▄')(line)]));
}

/** Of a card. */
function drawing(cards: string): ReturnType<typeof photo> {
  const [, size, path] = /viewBox="0 0 (\d+) \d+".*?<path d="([^"]*)"/.exec(cards)!;
  const rows = Array.from({ length: Number(size) }, () => Array<boolean>(Number(size)).fill(false));
  for (const [, x, y] of path!.matchAll(/M(\d+) (\d+)h1v1h-1z/g)) rows[Number(y)]![Number(x)] = true;
  return photo(rows);
}
