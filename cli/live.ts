import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { CallView } from '#libs/contracts/admin/answers.js';
import type { Beat } from '#libs/contracts/admin/console.js';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import { ask, at, call, EXIT, Failure, rows } from './admin.api.js';
import { print } from './show.js';

const TOPICS = 'beat,claim,flag,strike,door,trouble';
/** As the stream asks of its readers. */
const AGAIN_MS = 2_000;
/** Who reviews more of them starts again. */
const REVIEWED_MOST = 1_000;
const QUESTION = 's suspend the key, p pardon it, k keep it as it is, Enter later, q quit: ';
const [LATER, QUIT] = ['later', 'quit'];
const NO_TERMINAL =
  'A review asks a person: run it in a terminal. A script takes `daypass calls list --reviewed false --decision blocked,flagged`, then `calls show` and `keys suspend`.';

/** The stream: a line each second, and one for each thing that happens. It waits for a Daypass that starts again. */
export async function watch({ json, lines = Infinity }: { json?: boolean; lines?: number }): Promise<void> {
  for (let left = lines; ; await sleep(AGAIN_MS)) {
    try {
      const { body } = await ask('GET', '/stream', { topics: TOPICS }, 'text/event-stream');
      const events = body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      for await (const { event = '', data } of events) {
        const value = JSON.parse(data) as object;
        print(json ? JSON.stringify({ event, data: value }) : lineOf(event, value));
        if (--left <= 0) return;
      }
    } catch (error) {
      if (left === lines) throw error;
    }
    process.stderr.write('The stream ended. Asking again.\n');
  }
}

function lineOf(event: string, data: object): string {
  if (event !== 'beat') return `${new Date().toISOString()}  ${event}  ${JSON.stringify(data)}`;
  const { at: time, refused, ...beat } = data as Beat;
  const counts = `${beat.calls_per_min} calls/min  ${beat.running} running  ${beat.waiting} waiting`;
  const money = `$${beat.spent_today_usd} today  $${beat.spent_per_min_usd}/min`;
  return `${time}  ${money}  ${counts}  ${beat.claims_per_min} claims/min  door ${beat.door}  refused ${JSON.stringify(refused)}`;
}

/** One flagged call after the other. To show its texts is an act on record. */
export async function review(campaign?: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Failure(EXIT.usage, NO_TERMINAL);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const typed = terminal[Symbol.asyncIterator]();
  const waiting = { campaign, reviewed: 'false', decision: 'blocked,flagged' };
  try {
    for await (const { id, key } of rows<CallView>('/requests', waiting, REVIEWED_MOST)) {
      print(textsOf(await call<RequestView>('POST', at`/requests/${id}/open`, { reason: 'review' })));
      const acts = { s: at`/keys/${key}/suspend`, p: at`/keys/${key}/reinstate`, k: at`/requests/${id}/review` };
      const answers = new Map(Object.entries({ ...acts, '': LATER, q: QUIT }));
      let answer: string | undefined;
      while (answer === undefined) {
        process.stdout.write(QUESTION);
        const { value, done } = await typed.next();
        answer = done ? QUIT : answers.get(value.trim().toLowerCase());
      }
      if (answer === QUIT) return;
      if (answer !== LATER) await call('POST', answer);
    }
    print('Nothing more waits for a review.');
  } finally {
    terminal.close();
  }
}

/** Who, each verdict with its scores beside their limits, what was asked, and of the answer what was judged. */
export function textsOf({ id, at: time, key, visitor, model, texts, asked, checks }: RequestView): string {
  const verdicts = checks.flatMap(({ direction, guard, decision, scores, thresholds, categories, reason, judged }) => [
    `${direction}  ${decision}  ${guard}  ${reason ?? ''}`,
    ...categories.map((name) => `  ${name} ${scores[name] ?? ''} (limit ${thresholds[name] ?? 'of the guard itself'})`),
    ...(direction === 'output' && judged !== null ? [`  answered: ${JSON.stringify(judged)}`] : []),
  ]);
  const words = asked === null ? `texts: ${texts}` : `asked: ${JSON.stringify(asked, null, 2)}`;
  return [`\n${id}  ${time}  ${model}  key ${key}  visitor ${visitor}`, ...verdicts, words].join('\n');
}
