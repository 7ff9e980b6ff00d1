// `npm run bench:pacing`: whether the whole of an account's limits is used, never more, and shared fairly. Real sixty-second windows against a
// simulator that meters; everything runs on this machine. With the name of a scenario as an argument it runs only that one. A whole run
// writes its section of bench/README.md.
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { freePort } from '#libs/launch/free-port.js';
import { proseOf, Simulator, type Counted, type SimulatedLimits } from '#libs/testing/simulator.js';
import { measureLine } from '#libs/testing/bench-line.js';
import { plot, report, tell, type Row } from '#libs/testing/bench-report.js';

const SECOND = 1_000;
const MINUTE = 60_000;
const PLENTY: SimulatedLimits = { rpm: 1e9, tpm: 1e12 };
const model = 'gpt-5.4-mini';
/** About four and a half characters a token, as English has. */
const TEXT =
  'The people of the village gathered around the fountain and listened to the stranger telling about distant mountains. ';

interface Outcome {
  answered: number;
  refused: Map<string, number>;
  dishonest: number;
}

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

async function on(
  limits: SimulatedLimits,
  work: (stage: Stage) => Promise<Row>,
  options: { moderation?: SimulatedLimits; env?: Record<string, string> } = {},
): Promise<void> {
  const simulator = await Simulator.start({ chat: limits, moderation: options.moderation ?? PLENTY });
  const daypass = await startDaypass({
    upstream: { url: simulator.url },
    config: { lanes: { [model]: limits, ...(options.moderation ? { moderation: options.moderation } : {}) } },
    env: { DAYPASS_MAX_CALLS: '20000', DAYPASS_CONCURRENCY: '1000', ...options.env },
  });
  try {
    const row = await work({ daypass, simulator, outcome: { answered: 0, refused: new Map(), dishonest: 0 } });
    tell(row);
  } finally {
    await daypass.stop();
    await simulator.stop();
  }
}

const keysOf = (daypass: Daypass, count: number, campaign: Record<string, unknown> = {}): Promise<TestKey[]> =>
  daypass
    .createKey({
      campaign: { budget_usd: '100000', moderation: { input: 'off', output: 'off' }, ...campaign },
      key: { budget_usd: '1000', limits: { concurrent: 100_000 } },
    })
    .then(async (first) => [
      first,
      ...(await Promise.all(
        Array.from({ length: count - 1 }, () =>
          daypass.createKey({ campaign: first.campaign, key: { budget_usd: '1000', limits: { concurrent: 100_000 } } }),
        ),
      )),
    ]);

/** One call, and what came of it. */
async function call(
  { daypass, outcome }: Stage,
  key: TestKey,
  characters: number,
  cap: number,
  maxWaitMs: number,
): Promise<'answered' | 'refused'> {
  const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key.key}`,
      'content-type': 'application/json',
      'x-daypass-max-wait-ms': String(maxWaitMs),
    },
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
  if (response.headers.get('x-should-retry') === 'true' && response.headers.get('retry-after') === null)
    outcome.dishonest++;
  return 'refused';
}

/** `share`: how much of the limit the calls used from `fromMs` to `toMs`. `most`: the most that any sixty seconds held. */
function use(
  log: readonly Counted[],
  limits: SimulatedLimits,
  fromMs: number,
  toMs: number,
): { share: number; most: number } {
  const passed = log.filter(({ refused }) => !refused);
  const within = passed.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const minutes = (toMs - fromMs) / MINUTE;
  const share = Math.max(
    within.length / (limits.rpm * minutes),
    within.reduce((sum, { tokens }) => sum + tokens, 0) / (limits.tpm * minutes),
  );
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
    plot('Overload: three times the limit', log, limits.tpm, begun);
    return {
      scenario: 'overload',
      used: percent(share),
      upstream429: refusedBy(log),
      figures: `most in any 60 s ${percent(most)}; ${said(stage.outcome)}`,
    };
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
        else if (Date.now() > begun + MINUTE && Date.now() < until)
          answered.set(key.id, (answered.get(key.id) ?? 0) + 1);
      }
    };
    const clients = [...keys, ...double].flatMap((key, index) =>
      Array.from({ length: index === 0 ? 300 : 3 * (index >= 50 ? 2 : 1) }, () => keep(key)),
    );
    await Promise.all(clients);
    const shares = keys.map(({ id }) => answered.get(id) ?? 0);
    const jain =
      shares.reduce((sum, share) => sum + share, 0) ** 2 /
      (shares.length * shares.reduce((sum, share) => sum + share * share, 0));
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
    await Promise.all(
      keys.flatMap((key, index) => Array.from({ length: 2 }, () => keep(key, sizes[index % sizes.length]!))),
    );
    const { log } = stage.simulator.chat;
    const { share, most } = use(log, limits, begun + MINUTE, until);
    const longest = sizes.map(
      (size) =>
        `${size}: ${waits.get(size)?.length ?? 0} calls, at most ${((waits.get(size) ?? [0]).reduce((a, b) => Math.max(a, b), 0) / SECOND).toFixed(1)} s`,
    );
    plot('Calls of 100 to 100,000 tokens', log, limits.tpm, begun);
    return {
      scenario: 'mixed sizes',
      used: percent(share),
      upstream429: refusedBy(log),
      figures: `most in any 60 s ${percent(most)}; ${longest.join('; ')}; ${said(stage.outcome)}`,
    };
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
    plot('A limit that halves at 120 s and trebles at 240 s', chat.log, limits.tpm, begun);
    const figures = `used of the limit before ${after(begun + MINUTE, dropped, limits)}, of the half in its second minute ${after(dropped + MINUTE, raised, { rpm: 600, tpm: 300_000 })}, of the raised one in its second minute ${after(raised + MINUTE, until, chat.limits)}; 429s while it halved ${refusedBy(chat.log.filter(({ atMs }) => atMs < dropped + MINUTE))}, later ${refusedBy(chat.log.filter(({ atMs }) => atMs >= dropped + MINUTE))}`;
    return {
      scenario: 'changing limits',
      used: after(begun + MINUTE, dropped, limits),
      upstream429: refusedBy(chat.log),
      figures,
    };
  });
}

/** Two forwarding processes beside the one of the stage. */
async function furtherForwarders({ daypass }: Stage, count: number): Promise<ChildProcess[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const port = await freePort();
      const child = spawn(process.execPath, ['--enable-source-maps', 'dist/apps/forwarding/main.js'], {
        env: { ...daypass.env, DAYPASS_OPS_PORT: String(port), DAYPASS_LOG_LEVEL: 'silent' },
        stdio: 'ignore',
      });
      const ready = async (): Promise<boolean> =>
        (await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null))?.ok ?? false;
      while (!(await ready())) await sleep(100);
      return child;
    }),
  );
}

async function killed(): Promise<void> {
  const limits = { rpm: 1_200, tpm: 600_000 };
  await on(limits, async (stage) => {
    const forwarders = await furtherForwarders(stage, 2);
    const keys = await keysOf(stage.daypass, 10);
    const begun = Date.now();
    const until = begun + 5 * MINUTE;
    const keep = async (key: TestKey): Promise<void> => {
      while (Date.now() < until) if ((await call(stage, key, 800, 300, 60_000)) === 'refused') await sleep(500);
    };
    const clients = Promise.all(keys.flatMap((key) => Array.from({ length: 20 }, () => keep(key))));
    await sleep(3 * MINUTE);
    forwarders[0]?.kill('SIGKILL');
    const killedAt = Date.now();
    await clients;
    for (const forwarder of forwarders) forwarder.kill('SIGTERM');
    const { log } = stage.simulator.chat;
    const { share, most } = use(log, limits, begun + MINUTE, until);
    const second = (ms: number): number =>
      log.filter(({ atMs, refused }) => !refused && atMs >= ms && atMs < ms + SECOND).length;
    let back = 0;
    while (back < 60 && second(killedAt + back * SECOND) < (0.9 * limits.rpm) / 60) back++;
    const after = use(log, limits, killedAt + 10 * SECOND, until).share;
    plot('Three forwarding processes, one killed at 180 s', log, limits.tpm, begun);
    return {
      scenario: 'one of three killed',
      used: percent(share),
      upstream429: refusedBy(log),
      figures: `most in any 60 s ${percent(most)}; nine tenths of the pace ${back === 0 ? 'without a break' : `again after ${back} s`}, ${percent(after)} from 10 s after it on; ${said(stage.outcome)}`,
    };
  });
}

interface Judged {
  answered: number;
  refused: Map<string, number>;
  unjudged: number;
  characters: number;
}

/** A conversation of eight turns. All conversations share a system prompt, and each turn sends the whole conversation again. */
async function converse(
  { daypass }: Stage,
  key: TestKey,
  until: number,
  judged: Judged,
  maxWaitMs: number,
): Promise<void> {
  const messages = [{ role: 'system', content: `You answer shortly. ${TEXT.repeat(4)}` }];
  for (let turn = 0; turn < 8 && Date.now() < until; turn++) {
    messages.push({ role: 'user', content: proseOf(30) });
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key.key}`,
        'content-type': 'application/json',
        'x-daypass-max-wait-ms': String(maxWaitMs),
      },
      body: JSON.stringify({ model, max_completion_tokens: 250, messages }),
    });
    const body = (await response.json()) as { error?: { code: string }; choices: { message: { content: string } }[] };
    if (!response.ok) {
      judged.refused.set(body.error!.code, (judged.refused.get(body.error!.code) ?? 0) + 1);
      await sleep(1_000);
      return;
    }
    const content = body.choices[0]!.message.content;
    judged.answered++;
    judged.characters += messages.reduce((sum, message) => sum + message.content.length, 0) + content.length;
    if (response.headers.get('x-daypass-moderation') !== 'input=pass; output=pass') judged.unjudged++;
    messages.push({ role: 'assistant', content });
  }
}

async function fullTilt(
  scenarioName: string,
  moderation: SimulatedLimits,
  clients: number,
  minutes: number,
  moderationTimeoutMs: number,
): Promise<void> {
  const limits = { rpm: 10_000, tpm: 2_000_000 };
  await on(
    limits,
    async (stage) => {
      const keys = await keysOf(stage.daypass, 40, { moderation: { input: 'gate', output: 'gate' } });
      const begun = Date.now();
      const until = begun + minutes * MINUTE;
      const judged: Judged = { answered: 0, refused: new Map(), unjudged: 0, characters: 0 };
      const keep = async (key: TestKey): Promise<void> => {
        while (Date.now() < until) await converse(stage, key, until, judged, 120_000);
      };
      await Promise.all(Array.from({ length: clients }, (_, index) => keep(keys[index % keys.length]!)));
      const { chat, moderation: moderator } = stage.simulator;
      const of = use(chat.log, limits, begun + MINUTE, until);
      const ofModeration = use(moderator.log, moderation, begun + MINUTE, until);
      const judgedTokens = moderator.log.reduce((sum, { tokens }) => sum + tokens, 0);
      const seen = 1 - (4 * judgedTokens) / judged.characters;
      plot(`Full tilt, ${scenarioName}: 2 million tokens a minute, all of it judged`, chat.log, limits.tpm, begun);
      return {
        scenario: `full tilt, ${scenarioName}`,
        used: percent(of.share),
        upstream429: refusedBy(chat.log) + refusedBy(moderator.log),
        figures: `${Math.round(judged.answered / minutes)} calls a minute; of the moderation limit ${percent(ofModeration.share)} used, at most ${percent(ofModeration.most)} in any 60 s; ${judged.unjudged} unjudged; ${percent(seen)} of the text had been judged before; ${said({ ...judged, dishonest: 0 })}`,
      };
    },
    { moderation, env: { DAYPASS_MODERATION_TIMEOUT_MS: String(moderationTimeoutMs) } },
  );
}

await scenario('overload', overload);
await scenario('fairness', fairness);
await scenario('mixed sizes', mixed);
await scenario('changing limits', changing);
await scenario('one of three killed', killed);
await scenario('full tilt, tier 5', () => fullTilt('tier 5', { rpm: 5_000, tpm: 500_000 }, 200, 4, 30_000));
await scenario('full tilt, tier 1', () => fullTilt('tier 1', { rpm: 500, tpm: 10_000 }, 20, 4, 120_000));
await scenario('a long line', measureLine);
report(wanted.length === 0);
