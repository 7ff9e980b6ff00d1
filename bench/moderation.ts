// `npm run bench:moderation`: what moderation costs a visitor in time, and the operator in calls and tokens of the endpoint. All services run
// on this machine. It writes its section of bench/README.md.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass } from '#libs/testing/daypass.js';

const RUNS = 7;
const LATENCIES_MS = [20, 300];
const MODES = ['off', 'trail', 'window', 'gate'] as const;
const FIRST_TOKEN_MS = 300;
const TOKENS_PER_SECOND = 80;
const SENTENCE = 'A sentence of an answer has about twenty words, some of them short, and then it comes to its end. ';
const SENTENCES = 15;
const CONVERSATIONS = 20;
const TURNS = 6;

const model = 'gpt-5.4-mini';
const number = (count: number): string => Math.round(count).toLocaleString('en');
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const daypass = await startDaypass({ rehearsal: { keepCalls: 100_000 } });
const redis = new Redis(daypass.redisUrl);
const { rehearsal } = daypass;
const clientWith = async (moderation: object): Promise<OpenAI> => {
  const { key } = await daypass.createKey({
    campaign: { budget_usd: '1000', moderation },
    key: { budget_usd: '100', limits: { concurrent: 100_000 } },
  });
  return new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
};
/** Calls to the endpoint since the last reset, and their tokens. */
const asked = (): { calls: number; tokens: number } => {
  const calls = rehearsal.moderationCalls();
  return {
    calls: calls.length,
    tokens: Math.round(calls.reduce((sum, { body }) => sum + JSON.stringify(body.input).length, 0) / 4),
  };
};
const forget = async (): Promise<void> => {
  for (const bucket of await redis.keys(redisKeys.verdicts('*'))) await redis.del(bucket);
};

const section = new BenchSection('moderation');
section.text(
  `An answer of 300 tokens in ${SENTENCES} sentences, first token after ${FIRST_TOKEN_MS} ms, ${TOKENS_PER_SECOND} tokens a second. Medians of ${RUNS} calls.`,
);
const timed = section.table('a verdict takes', 'output', 'first token', 'whole answer', 'moderation calls');
for (const latencyMs of LATENCIES_MS) {
  rehearsal.options.moderationLatencyMs = latencyMs;
  for (const output of MODES) {
    const client = await clientWith({ input: output === 'off' ? 'off' : 'gate', output });
    const [first, whole, calls]: [number[], number[], number[]] = [[], [], []];
    for (let run = 0; run < RUNS; run++) {
      rehearsal.reset();
      rehearsal.onChat = () => ({
        content: SENTENCE.repeat(SENTENCES),
        firstTokenMs: FIRST_TOKEN_MS,
        tokensPerSecond: TOKENS_PER_SECOND,
      });
      await forget();
      const begun = performance.now();
      let firstMs = 0;
      for await (const chunk of await client.chat.completions.create({
        model,
        messages: [{ role: 'user', content: `question ${run}` }],
        stream: true,
      }))
        if (firstMs === 0 && chunk.choices[0]?.delta.content) firstMs = performance.now() - begun;
      first.push(firstMs);
      whole.push(performance.now() - begun);
      calls.push(asked().calls);
    }
    const mode = output === 'off' ? '`off` (input too)' : `\`${output}\``;
    timed(
      `${latencyMs} ms`,
      mode,
      `${number(median(first))} ms`,
      `${(median(whole) / 1_000).toFixed(1)} s`,
      String(median(calls)),
    );
  }
}

section.text(`${CONVERSATIONS} conversations of ${TURNS} turns:`);
const talked = section.table('known verdicts', 'output', 'tokens that the endpoint judges for each call');
rehearsal.options.moderationLatencyMs = 20;
for (const remembered of [false, true]) {
  for (const output of ['gate', 'window'] as const) {
    rehearsal.reset();
    rehearsal.onChat = (body) => ({
      content: `${SENTENCE.repeat(8)}(${JSON.stringify(body.messages?.at(-1)?.content)})`,
    });
    const client = await clientWith({ input: 'gate', output });
    let chats = 0;
    await Promise.all(
      Array.from({ length: CONVERSATIONS }, async (_, conversation) => {
        const messages: OpenAI.ChatCompletionMessageParam[] = [
          { role: 'system', content: `You are the guide of project ${conversation}. ${SENTENCE.repeat(6)}` },
        ];
        for (let turn = 0; turn < TURNS; turn++) {
          messages.push({
            role: 'user',
            content: `Question ${turn} of ${conversation} (${output}, ${remembered}): ${SENTENCE.repeat(2)}`,
          });
          let answer = '';
          for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
            answer += chunk.choices[0]?.delta.content ?? '';
          messages.push({ role: 'assistant', content: answer });
          chats++;
          if (!remembered) await forget();
          await sleep(50);
        }
      }),
    );
    talked(remembered ? 'remembered' : 'forgotten', `\`${output}\``, number(asked().tokens / chats));
  }
}
section.publish();
redis.disconnect();
await daypass.stop();
process.exit(0);
