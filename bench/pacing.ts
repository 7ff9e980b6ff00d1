// `npm run bench:pacing`: whether the whole of an account's limits is used, never more, and shared fairly. Real sixty-second windows against a
// simulator that meters; everything on this machine. A scenario's name as an argument runs it alone.
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { Simulator, type Counted, type SimulatedLimits } from '#libs/testing/simulator.js';

const SECOND = 1_000;
const MINUTE = 60_000;
const PLENTY: SimulatedLimits = { rpm: 1e9, tpm: 1e12 };
const model = 'gpt-5.4-mini';
/** About four and a half characters a token, as English has. */
const TEXT = 'The people of the village gathered around the fountain and listened to the stranger telling about distant mountains. ';

interface Outcome {
  answered: number;
  refused: Map<string, number>;
  dishonest: number;
}

interface Row {
  scenario: string;
  used: string;
  upstream429: number;
  figures: string;
}

const rows: Row[] = [];
const plots: { title: string; limit: number; points: [seconds: number, tokens: number][] }[] = [];
const wanted = process.argv.slice(2);

async function scenario(name: string, run: () => Promise<void>): Promise<void> {
  if (wanted.length > 0 && !wanted.includes(name)) return;
  await run();
}

interface Stage {
  daypass: Daypass;
  simulator: Simulator;
  outcome: Outcome;
}

async function on(limits: SimulatedLimits, work: (stage: Stage) => Promise<Row>, options: { lane?: object; env?: Record<string, string> } = {}): Promise<void> {
  const simulator = await Simulator.start({ chat: limits, moderation: PLENTY });
  const daypass = await startDaypass({
    upstream: { url: simulator.url },
    config: { lanes: { [model]: { ...limits, ...options.lane } } },
    env: { DAYPASS_MAX_CALLS: '20000', DAYPASS_CONCURRENCY: '1000', ...options.env },
  });
  try {
    const row = await work({ daypass, simulator, outcome: { answered: 0, refused: new Map(), dishonest: 0 } });
    rows.push(row);
    process.stdout.write(`${row.scenario.padEnd(18)} ${row.used.padEnd(10)} ${String(row.upstream429).padEnd(4)} ${row.figures}\n`);
  } finally {
    await daypass.stop();
    await simulator.stop();
  }
}

const keysOf = (daypass: Daypass, count: number, campaign: Record<string, unknown> = {}): Promise<TestKey[]> =>
  daypass
    .createKey({ campaign: { budget_usd: '100000', moderation: { input: 'off', output: 'off' }, ...campaign }, key: { budget_usd: '1000' } })
    .then(async (first) => [
      first,
      ...(await Promise.all(Array.from({ length: count - 1 }, () => daypass.createKey({ campaign: first.campaign, key: { budget_usd: '1000' } })))),
    ]);

/** One call; a refusal's `retry-after` is slept off, at most a few seconds. */
async function call({ daypass, outcome }: Stage, key: TestKey, characters: number, cap: number, maxWaitMs: number): Promise<'answered' | 'refused'> {
  const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', 'x-daypass-max-wait-ms': String(maxWaitMs) },
    body: JSON.stringify({
      model,
      max_completion_tokens: cap,
      messages: [{ role: 'user', content: TEXT.repeat(Math.ceil(characters / TEXT.length)).slice(0, characters) }],
    }),
  });
  const text = await response.text();
  if (response.ok) {
    outcome.answered++;
    return 'answered';
  }
  const { code } = (JSON.parse(text) as { error: { code: string } }).error;
  outcome.refused.set(code, (outcome.refused.get(code) ?? 0) + 1);
  if (response.headers.get('retry-after') === null) outcome.dishonest++;
  return 'refused';
}

/** The share of the limit that was used, minute by minute, once the first window was full; and the most that any sixty seconds held. */
function use(log: readonly Counted[], limits: SimulatedLimits, fromMs: number, toMs: number): { share: number; most: number } {
  const passed = log.filter(({ refused }) => !refused);
  const within = passed.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const minutes = (toMs - fromMs) / MINUTE;
  const share = Math.max(within.length / (limits.rpm * minutes), within.reduce((sum, { tokens }) => sum + tokens, 0) / (limits.tpm * minutes));
  let [most, first, requests, tokens] = [0, 0, 0, 0];
  for (const one of passed) {
    requests++;
    tokens += one.tokens;
    while (passed[first]!.atMs <= one.atMs - MINUTE) {
      requests--;
      tokens -= passed[first]!.tokens;
      first++;
    }
    most = Math.max(most, requests / limits.rpm, tokens / limits.tpm);
  }
  return { share, most };
}

const refusedBy = (log: readonly Counted[]): number => log.filter(({ refused }) => refused).length;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const said = ({ answered, refused, dishonest }: Outcome): string =>
  `${answered} answered, ${[...refused].map(([code, count]) => `${count} × ${code}`).join(', ') || 'none refused'}${dishonest > 0 ? `, ${dishonest} WITHOUT A TIME` : ''}`;

function plot(title: string, log: readonly Counted[], limits: SimulatedLimits, begunMs: number): void {
  const points = new Map<number, number>();
  for (const { atMs, tokens, refused } of log) {
    if (refused) continue;
    const second = Math.floor((atMs - begunMs) / SECOND);
    points.set(second, (points.get(second) ?? 0) + tokens);
  }
  plots.push({ title, limit: limits.tpm / 60, points: [...points] });
}

async function overload(): Promise<void> {
  const limits = { rpm: 1_200, tpm: 600_000 };
  await on(limits, async (stage) => {
    const keys = await keysOf(stage.daypass, 20);
    const begun = Date.now();
    const minutes = Number(process.env.BENCH_MINUTES ?? 5);
    const running: Promise<unknown>[] = [];
    // Three times the limit, call by call.
    for (let n = 0; Date.now() < begun + minutes * MINUTE; n++) {
      running.push(call(stage, keys[n % keys.length]!, 800, 300, 30_000));
      await sleep(Math.max(0, begun + (n * MINUTE) / (3 * limits.rpm) - Date.now()));
    }
    const until = Date.now();
    await Promise.all(running);
    const { log } = stage.simulator.chat;
    const { share, most } = use(log, limits, begun + MINUTE, until);
    plot('Overload: three times the limit', log, limits, begun);
    return { scenario: 'overload', used: percent(share), upstream429: refusedBy(log), figures: `most in any 60 s ${percent(most)}; ${said(stage.outcome)}` };
  });
}

async function fairness(): Promise<void> {
  const limits = { rpm: 1_500, tpm: 750_000 };
  await on(limits, async (stage) => {
    const keys = await keysOf(stage.daypass, 50);
    const double = await keysOf(stage.daypass, 10, { weight: 2 });
    const answered = new Map<string, number>();
    const begun = Date.now();
    const until = begun + 4 * MINUTE;
    const keep = async (key: TestKey): Promise<void> => {
      while (Date.now() < until) {
        const ended = await call(stage, key, 800, 300, 60_000);
        if (ended === 'refused') await sleep(2_000);
        else if (Date.now() > begun + MINUTE && Date.now() < until) answered.set(key.id, (answered.get(key.id) ?? 0) + 1);
      }
    };
    const clients = [...keys, ...double].flatMap((key, index) => Array.from({ length: index === 0 ? 300 : 3 * (index >= 50 ? 2 : 1) }, () => keep(key)));
    await Promise.all(clients);
    const shares = keys.map(({ id }) => answered.get(id) ?? 0);
    const jain = shares.reduce((sum, share) => sum + share, 0) ** 2 / (shares.length * shares.reduce((sum, share) => sum + share * share, 0));
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    const weighted = double.reduce((sum, { id }) => sum + (answered.get(id) ?? 0), 0) / double.length / mean;
    const { log } = stage.simulator.chat;
    const { share } = use(log, limits, begun + MINUTE, until);
    const figures = `Jain ${jain.toFixed(4)} over 50 keys (one with 100 × the calls of the others: ${shares[0]} answered, mean ${mean.toFixed(1)}), weight 2 gets ${weighted.toFixed(3)} ×`;
    return { scenario: 'fairness', used: percent(share), upstream429: refusedBy(log), figures };
  });
}

async function mixed(): Promise<void> {
  const limits = { rpm: 5_000, tpm: 2_000_000 };
  await on(limits, async (stage) => {
    const keys = await keysOf(stage.daypass, 30);
    const begun = Date.now();
    const until = begun + 4 * MINUTE;
    const sizes = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];
    const waits = new Map<number, number[]>();
    const keep = async (key: TestKey, size: number): Promise<void> => {
      while (Date.now() < until) {
        const asked = Date.now();
        if ((await call(stage, key, 4 * size * 0.7, Math.floor(size * 0.3), 120_000)) === 'refused') await sleep(1_000);
        else waits.set(size, [...(waits.get(size) ?? []), Date.now() - asked]);
      }
    };
    await Promise.all(keys.flatMap((key, index) => Array.from({ length: 2 }, () => keep(key, sizes[index % sizes.length]!))));
    const { log } = stage.simulator.chat;
    const { share, most } = use(log, limits, begun + MINUTE, until);
    const longest = sizes.map(
      (size) =>
        `${size}: ${waits.get(size)?.length ?? 0} calls, at most ${((waits.get(size) ?? [0]).reduce((a, b) => Math.max(a, b), 0) / SECOND).toFixed(1)} s`,
    );
    plot('Calls of 100 to 100,000 tokens', log, limits, begun);
    return { scenario: 'mixed sizes', used: percent(share), upstream429: refusedBy(log), figures: `most in any 60 s ${percent(most)}; ${longest.join('; ')}` };
  });
}

async function changing(): Promise<void> {
  const limits = { rpm: 1_200, tpm: 600_000 };
  await on(limits, async (stage) => {
    const keys = await keysOf(stage.daypass, 10);
    const { chat } = stage.simulator;
    const begun = Date.now();
    const until = begun + 6 * MINUTE;
    const keep = async (key: TestKey): Promise<void> => {
      while (Date.now() < until) if ((await call(stage, key, 800, 300, 60_000)) === 'refused') await sleep(1_000);
    };
    const clients = Promise.all(keys.flatMap((key) => Array.from({ length: 20 }, () => keep(key))));
    await sleep(2 * MINUTE);
    chat.limits = { rpm: 600, tpm: 300_000 };
    const dropped = Date.now();
    await sleep(2 * MINUTE);
    chat.limits = { rpm: 1_800, tpm: 900_000 };
    const raised = Date.now();
    await clients;
    const after = (from: number, to: number, of: SimulatedLimits): string =>
      percent(
        use(
          chat.log.filter(({ atMs }) => atMs >= from),
          of,
          from,
          to,
        ).share,
      );
    plot('A limit that halves at 120 s and trebles at 240 s', chat.log, limits, begun);
    const figures = `used of the limit before ${after(begun + MINUTE, dropped, limits)}, of the half in its second minute ${after(dropped + MINUTE, raised, { rpm: 600, tpm: 300_000 })}, of the raised one in its second minute ${after(raised + MINUTE, until, chat.limits)}; 429s while it halved ${refusedBy(chat.log.filter(({ atMs }) => atMs < dropped + MINUTE))}, later ${refusedBy(chat.log.filter(({ atMs }) => atMs >= dropped + MINUTE))}`;
    return { scenario: 'changing limits', used: after(begun + MINUTE, dropped, limits), upstream429: refusedBy(chat.log), figures };
  });
}

async function killed(): Promise<void> {
  const limits = { rpm: 1_200, tpm: 600_000 };
  await on(limits, async (stage) => {
    const keys = await keysOf(stage.daypass, 10);
    const begun = Date.now();
    const until = begun + 4 * MINUTE;
    const keep = async (key: TestKey): Promise<void> => {
      while (Date.now() < until) if ((await call(stage, key, 800, 300, 60_000)) === 'refused') await sleep(500);
    };
    const clients = Promise.all(keys.flatMap((key) => Array.from({ length: 20 }, () => keep(key))));
    await sleep(2 * MINUTE);
    stage.daypass.services.kill('forwarding');
    const killedAt = Date.now();
    await clients;
    const { log } = stage.simulator.chat;
    const { share, most } = use(log, limits, begun + MINUTE, until);
    const second = (ms: number): number => log.filter(({ atMs, refused }) => !refused && atMs >= ms && atMs < ms + SECOND).length;
    let back = 0;
    while (back < 60 && second(killedAt + back * SECOND) < (0.9 * limits.rpm) / 60) back++;
    plot('The forwarding process killed at 120 s', log, limits, begun);
    return {
      scenario: 'a worker killed',
      used: percent(share),
      upstream429: refusedBy(log),
      figures: `most in any 60 s ${percent(most)}; back at nine tenths of the pace after ${back} s; ${said(stage.outcome)}`,
    };
  });
}

function report(): void {
  process.stdout.write(`\n| scenario | of the limit used | 429s of the upstream | |\n| --- | --- | --- | --- |\n`);
  for (const { scenario: name, used, upstream429, figures } of rows) process.stdout.write(`| ${name} | ${used} | ${upstream429} | ${figures} |\n`);
  if (plots.length === 0) return;
  mkdirSync('bench/results', { recursive: true });
  const [width, height, gap] = [900, 180, 40];
  const panels = plots.map(({ title, limit, points }, index) => {
    const top = index * (height + gap) + gap;
    const lastSecond = Math.max(1, ...points.map(([second]) => second));
    const highest = Math.max(2 * limit, ...points.map(([, tokens]) => tokens));
    const x = (second: number): string => ((second / lastSecond) * width).toFixed(1);
    const y = (tokens: number): string => (top + height - (tokens / highest) * height).toFixed(1);
    const bars = points.map(
      ([second, tokens]) =>
        `<rect x="${x(second)}" y="${y(tokens)}" width="${(width / lastSecond).toFixed(2)}" height="${((tokens / highest) * height).toFixed(1)}" fill="#4c78a8"/>`,
    );
    return `<text x="0" y="${top - 8}">${title}: tokens sent each second, and the even rate of the limit</text>${bars.join('')}<line x1="0" x2="${width}" y1="${y(limit)}" y2="${y(limit)}" stroke="#e45756" stroke-width="2"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${plots.length * (height + gap) + gap}" font-family="sans-serif" font-size="14">${panels.join('')}</svg>\n`;
  writeFileSync('bench/results/pacing.svg', svg);
}

await scenario('overload', overload);
await scenario('fairness', fairness);
await scenario('mixed sizes', mixed);
await scenario('changing limits', changing);
await scenario('a worker killed', killed);
report();
