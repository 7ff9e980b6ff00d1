import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { CODE_CHARACTERS, readCode } from '#libs/contracts/claims.js';
import { formatUsd } from '#libs/money/nano.js';
import { createVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { ask, newIdempotencyKey, persist, type Answer, type Fault } from '../../web/shared/api.js';
import { groupCode, mistakeInCode } from '../../web/shared/claim.code.js';
import { csvOf } from '../../web/shared/csv.js';
import { safeHref } from '../../web/shared/links.js';
import { nanoOf, percentOf, showUsd } from '../../web/shared/money.js';
import { priceWords } from '../../web/shared/prices.js';
import { recordedWords } from '../../web/shared/recorded.js';
import { snippetsFor } from '../../web/shared/snippets.js';
import { countdown, duration, localTime, relative, utcTime } from '../../web/shared/time.js';
import { besideText, usageWords } from '../../web/shared/usage.js';
import { mistakeIn } from '../../web/shared/virtual.key.js';

describe('what a model costs', () => {
  const text = { input_usd_per_million: '5', output_usd_per_million: '30' };
  const none = { input_usd_per_million: '0', output_usd_per_million: '0' };

  it.each([
    [text, '$5.00 in, $30.00 out'],
    [none, '$0.00 in, $0.00 out'],
    [{ ...none, other_prices: { usd_per_hour: '0.36' } }, '$0.36 an hour of sound'],
    [
      { ...text, other_prices: { image_input_usd_per_million: '8', image_output_usd_per_million: '30' } },
      '$5.00 in, $30.00 out, $8.00 for images in, $30.00 for images out',
    ],
    [
      { ...none, other_prices: { usd_per_million_characters: '15', later: '1' } },
      '$15.00 a million characters, $1.00 later',
    ],
  ])('%j is said as %s', (model, words) => expect(priceWords(model)).toBe(words));
});

describe('what a call used', () => {
  it('is said by what it is', () => {
    const usage = { input: 1_200, cached: 900, output: 30, image_output: 4_160, seconds: 61, characters: 9, later: 3 };
    expect(usageWords(usage)).toBe(
      '1,200 tokens in, 30 tokens out, 4,160 image tokens out, 61 s of sound, 9 characters',
    );
    expect(besideText(usage)).toBe('4,160 image tokens out, 61 s of sound, 9 characters');
    expect([besideText({ input: 5 }), usageWords({}), usageWords(undefined)]).toEqual(['', '', '']);
  });
});

describe('money', () => {
  it.each([
    ['0.500000000', '$0.50'],
    ['0.4963', '$0.4963'],
    ['0.49639', '$0.4963'],
    ['1234567.5', '$1,234,567.50'],
    ['0', '$0.00'],
    ['0.000000001', '<$0.0001'],
    ['12', '$12.00'],
    ['-0.25', '-$0.25'],
    // A float would make 9007199254740993 of it.
    ['9007199254.740993001', '$9,007,199,254.7409'],
  ])('%s is shown as %s', (usd, shown) => expect(showUsd(usd)).toBe(shown));

  it('shows as many decimals as asked for', () => {
    expect(showUsd('0.001234567', 6)).toBe('$0.001234');
    expect(showUsd('0.001234567', 9)).toBe('$0.001234567');
    expect(showUsd('0.000000001', 6)).toBe('<$0.000001');
  });

  it('reads what the API writes', () => {
    for (const nano of [0n, 1n, 999_999_999n, 500_000_000n, 123_456_789_012_345_678n, -5n])
      expect(nanoOf(formatUsd(nano))).toBe(nano);
    expect(() => nanoOf('1e3')).toThrow('not an amount');
  });

  it('rounds shares down, and keeps them within 0 and 100', () => {
    expect(percentOf('0.31', '0.50')).toBe(62);
    expect(percentOf('0.4999', '0.50')).toBe(99);
    expect(percentOf('2', '1')).toBe(100);
    expect(percentOf('-1', '1')).toBe(0);
    expect(percentOf('1', '0')).toBe(0);
  });
});

describe('times', () => {
  const now = new Date('2026-11-26T12:00:00Z');
  it.each([
    ['2026-11-27T13:00:00Z', 'in 25 hours'],
    ['2026-11-26T13:35:00Z', 'in 95 minutes'],
    ['2026-11-26T11:58:00Z', '2 minutes ago'],
    ['2026-11-26T11:59:01Z', '59 seconds ago'],
    ['2026-11-26T12:00:00Z', 'now'],
    ['2026-12-03T12:00:00Z', 'in 7 days'],
  ])('%s is %s', (at, words) => expect(relative(new Date(at), now)).toBe(words));

  it.each([
    ['Europe/Berlin', 'Fri 27 Nov, 14:02 CET'],
    ['America/New_York', 'Fri 27 Nov, 08:02 EST'],
    ['Asia/Kolkata', 'Fri 27 Nov, 18:32 IST'],
    ['UTC', 'Fri 27 Nov, 13:02 UTC'],
    ['Asia/Tokyo', 'Fri 27 Nov, 22:02 GMT+9'],
  ])('in %s it names the zone: %s', (zone, words) =>
    expect(localTime(new Date('2026-11-27T13:02:00Z'), now, zone)).toBe(words),
  );

  it('names the year where it is another', () => {
    expect(localTime(new Date('2027-01-02T00:05:00Z'), now, 'UTC')).toBe('Sat 2 Jan 2027, 00:05 UTC');
    expect(utcTime(new Date('2026-11-27T13:02:09.5Z'))).toBe('2026-11-27 13:02:09 UTC');
  });

  it.each([
    [86_400, '24 hours'],
    [3_600, '1 hour'],
    [1_800, '30 minutes'],
    [5_400, '1 h 30 min'],
    [259_200, '3 days'],
    [262_800, '3 days 1 hour'],
    [45, '45 seconds'],
  ])('%i s last %s', (seconds, words) => expect(duration(seconds)).toBe(words));

  it.each([
    [750_500, '12:31'],
    [11_551_000, '03:12:31'],
    [184_351_000, '2 days 03:12:31'],
    [-1, '00:00'],
  ])('%i ms count down as %s', (ms, words) => expect(countdown(ms)).toBe(words));
});

describe('keys and codes', () => {
  it('finds what is wrong with a key as ingress does, and needs nobody for it', () => {
    for (let i = 0; i < 200; i++) {
      const key = createVirtualKey();
      expect(mistakeIn(key)).toBeNull();
      const at = 3 + (i % 38);
      const wrong = key.slice(0, at) + (key[at] === 'x' ? 'y' : 'x') + key.slice(at + 1);
      expect({ wrong, known: mistakeIn(wrong) === null }).toEqual({ wrong, known: isWellFormed(wrong) });
      expect(mistakeIn(wrong)).toContain('mistyped');
    }
    const key = createVirtualKey();
    expect(mistakeIn('')).toContain('Paste');
    expect(mistakeIn('sk-proj-1')).toContain('dp_');
    expect(mistakeIn(key.slice(0, -1))).toContain('too short');
    expect(mistakeIn(`${key}x`)).toContain('too long');
    expect(mistakeIn(`${key.slice(0, -1)}-`)).toContain('mistyped');
  });

  it('reads a code as accounting does', () => {
    expect(groupCode('7kq2m9xa0r4t')).toBe('7KQ2-M9XA-0R4T');
    expect(groupCode(' 7kq2 m9xa-or4tzzz')).toBe('7KQ2-M9XA-0R4T');
    expect(groupCode('7kq2m')).toBe('7KQ2-M');
    for (const typed of ['7kq2m9xa0r4t', '7KQ2-M9XA-OR4T', 'lili oooo 1234', 'U23456789012', '123', CODE_CHARACTERS])
      expect({ typed, ok: mistakeInCode(typed) === null }).toEqual({ typed, ok: readCode(typed) !== null });
    expect(readCode(groupCode('lili oooo 1234'))).toBe(readCode('lili oooo 1234'));
    expect(mistakeInCode('U23456789012')).toContain('character U');
    expect(mistakeInCode('123')).toContain('12 characters, and this has 3');
  });
});

describe('what an operator wrote', () => {
  it.each([
    ['https://acme.example/a', 'https://acme.example/a'],
    ['hello@acme.example', 'mailto:hello@acme.example'],
    ['mailto:hello@acme.example', 'mailto:hello@acme.example'],
    // Which is the point of it. oxlint-disable-next-line no-script-url
    ['javascript:alert(1)', null],
    ['data:text/html,hi', null],
    ['ask at the desk', null],
    ['', null],
  ])('%s leads to %s', (text, href) => expect(safeHref(text)).toBe(href));

  it('says what is checked and kept', () => {
    expect(recordedWords({ input: 'gate', output: 'window', retention_days: 30 })).toBe(
      'Prompts and answers are checked, and kept for 30 days.',
    );
    expect(recordedWords({ input: 'gate', output: 'off', retention_days: 1 })).toBe(
      'Prompts are checked. Prompts and answers are kept for one day.',
    );
    expect(recordedWords({ input: 'off', output: 'off', retention_days: null })).toBe(
      'Prompts and answers are kept until the operator deletes them.',
    );
  });
});

describe('snippets', () => {
  const key = createVirtualKey();
  const wish = {
    baseUrl: 'https://try.example/v1',
    key,
    models: ['text-embedding-3-small', 'gpt-5.4-mini'],
    own: null,
  };

  it('have the base URL whole, the key and a model that chats', () => {
    const snippets = snippetsFor(wish);
    expect(snippets.map(({ label }) => label)).toEqual(['.env', 'curl', 'Node', 'Python', 'shell']);
    for (const { text } of snippets) {
      expect(text).toContain('https://try.example/v1');
      expect(text).toContain(key);
      expect(text).not.toContain('embedding');
    }
  });

  it('embed where the key has no other model', () => {
    const [, curl] = snippetsFor({ ...wish, models: ['text-embedding-3-small'] });
    expect(curl!.text).toContain('/v1/embeddings');
  });

  it('fill in the operator’s own, each word once', () => {
    const own = { label: 'app', text: 'go --url {base_url} --key {key} --model {model} {other}' };
    const [first] = snippetsFor({ ...wish, models: ['{key}'], own });
    expect(first!.text).toBe(`go --url https://try.example/v1 --key ${key} --model {key} {other}`);
  });

  it('are one argument for the shell, whatever a model is called', () => {
    const [, curl] = snippetsFor({ ...wish, models: ["it's $(here) `x`"] });
    const shown = execFileSync('sh', ['-c', curl!.text.replace('curl', "printf '%s\\n'")], { encoding: 'utf8' });
    expect(JSON.parse(shown.trim().split('\n').at(-1)!)).toMatchObject({ model: "it's $(here) `x`" });
  });
});

describe('CSV', () => {
  it('escapes quotes and formulas, and ends lines as spreadsheets do', () => {
    expect(csvOf([['a,b', 'say "hi"', '=1+1', '-2', '@x', 5, null], ['two\nlines']])).toBe(
      `"a,b","say ""hi""",'=1+1,'-2,'@x,5,\r\n"two\nlines"\r\n`,
    );
  });
});

describe('asking', () => {
  const fault = (code: Fault['code'], retryAfterMs: number | null = null): Answer<number> => ({
    ok: false,
    fault: { status: 503, code, message: '', details: {}, retryAfterMs, requestId: null },
  });
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => {
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  async function persisted(
    answers: Answer<number>[],
  ): Promise<{ answer: Answer<number>; waits: number[]; tries: number }> {
    const waits: number[] = [];
    let tries = 0;
    const answer = persist(
      () => Promise.resolve(answers[Math.min(tries++, answers.length - 1)]!),
      (waitMs) => waits.push(waitMs),
    );
    await jest.runAllTimersAsync();
    return { answer: await answer, waits, tries };
  }

  it('tries three times more, with longer waits', async () => {
    expect(await persisted([fault('offline')])).toMatchObject({ waits: [1_000, 2_000, 4_000], tries: 4 });
  });

  it('waits as the answer says, and never longer than ten seconds', async () => {
    expect(await persisted([fault('overloaded', 5_000), fault('recovering', 60_000), { ok: true, data: 1 }])).toEqual({
      answer: { ok: true, data: 1 },
      waits: [5_000, 10_000],
      tries: 3,
    });
  });

  it('does not repeat what is decided', async () => {
    expect(await persisted([fault('claim_refused')])).toMatchObject({ waits: [], tries: 1 });
  });

  it('makes a fault of everything that is no answer', async () => {
    const answers = jest.spyOn(globalThis, 'fetch');
    answers.mockRejectedValueOnce(new TypeError('failed'));
    expect(await ask('/x')).toMatchObject({ fault: { code: 'offline', status: 0 } });
    answers.mockResolvedValueOnce(new Response('<html>', { status: 503, headers: { 'retry-after': '7' } }));
    expect(await ask('/x')).toMatchObject({ fault: { code: 'unavailable', retryAfterMs: 7_000 } });
    answers.mockResolvedValueOnce(new Response('<html>', { status: 200 }));
    expect(await ask('/x')).toMatchObject({ fault: { code: 'unreadable' } });
    answers.mockResolvedValueOnce(
      Response.json(
        { error: { code: 'link_ended', message: 'Over.', daypass: { a: 1 } } },
        { status: 410, headers: { 'x-request-id': 'req_1' } },
      ),
    );
    expect(await ask('/x')).toEqual({
      ok: false,
      fault: {
        status: 410,
        code: 'link_ended',
        message: 'Over.',
        details: { a: 1 },
        retryAfterMs: null,
        requestId: 'req_1',
      },
    });
  });

  it('names a request by 128 random bits', () => {
    const names = new Set(Array.from({ length: 100 }, newIdempotencyKey));
    expect(names.size).toBe(100);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{32}$/);
  });
});
