import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest } from '../at-rest.js';
import { phrasesIn, randomBodies, type Body } from './random-bodies.js';

const SEED = 18;
/** `DAYPASS_CHECK_BODIES=50000` takes four minutes. */
const BODIES = process.env.DAYPASS_FAULTS === 'quick' ? 1_000 : Number(process.env.DAYPASS_CHECK_BODIES ?? 8_000);
const AT_ONCE = 40;
const LIMIT_MS = 900_000;
/** As many as a message shows. */
const SHOWN = 3;
/** Output policies; under each an input is judged before anything is sent. */
const OUTPUTS = ['gate', 'window', 'off'];
const AMOUNT = '1000000.00';

describe('POST /v1/chat/completions', () => {
  let daypass: Daypass;
  let keys: TestKey[];
  /** Phrases that moderation has read. */
  const judged = new Set<string>();
  /** Phrases that the upstream got before moderation read them, each with the body. */
  const unjudged: string[] = [];
  let forwarded = 0;

  beforeAll(async () => {
    daypass = await startDaypass({ rehearsal: { keepCalls: 0 } });
    keys = await Promise.all(
      OUTPUTS.map((output) =>
        daypass.createKey({
          campaign: { budget_usd: AMOUNT, moderation: { input: 'gate', output } },
          key: { budget_usd: AMOUNT },
        }),
      ),
    );
    daypass.rehearsal.onModeration = ({ input }) => {
      for (const phrase of phrasesIn(input)) judged.add(phrase);
      return undefined;
    };
    daypass.rehearsal.onChat = (body) => {
      for (const phrase of phrasesIn(body)) {
        forwarded++;
        if (!judged.has(phrase)) unjudged.push(`${phrase}: ${JSON.stringify(body)}`);
      }
      return { content: 'ok' };
    };
  }, 60_000);
  afterAll(() => daypass?.stop());

  const answerTo = async (body: Body, index: number): Promise<string> => {
    try {
      const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${keys[index % keys.length]!.key}`, 'content-type': 'application/json' },
        body,
      });
      const code = codeIn(await response.text());
      return code === undefined ? String(response.status) : `${response.status} ${code}`;
    } catch (error) {
      return `cut off: ${String(error)}`;
    }
  };

  it(
    `takes ${BODIES.toLocaleString('en')} random bodies without a fault of its own, and forwards no text unjudged`,
    async () => {
      const begun = performance.now();
      const bodies = randomBodies(SEED, BODIES);
      const answers: string[] = [];
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let index = next++; index < bodies.length; index = next++)
          answers[index] = await answerTo(bodies[index]!, index);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
      const faults = answers.flatMap((answer, index) =>
        // An error in a stream that was begun counts like one before it.
        /^(200|4\d\d [a-z_]+)$/.test(answer) ? [] : [`body ${index}: ${answer}: ${String(bodies[index])}`],
      );
      const counts = [...Map.groupBy(answers, (answer) => answer)]
        .map(([answer, { length }]) => `${length} × ${answer}`)
        .toSorted();
      process.stderr.write(
        `    ${BODIES} random bodies, seed ${SEED} (${((performance.now() - begun) / 1_000).toFixed(0)} s): ` +
          `${counts.join(', ')}; ${faults.length} faults, ${forwarded} phrases forwarded, ${unjudged.length} unjudged\n`,
      );
      await booksAtRest(daypass);
      expect({ seed: SEED, faults: faults.slice(0, SHOWN) }).toEqual({ seed: SEED, faults: [] });
      expect({ seed: SEED, unjudged: unjudged.slice(0, SHOWN) }).toEqual({ seed: SEED, unjudged: [] });
      // The bodies are worth something: many are answered, and many phrases go through.
      expect(answers.filter((answer) => answer === '200').length).toBeGreaterThan(BODIES / 5);
      expect(forwarded).toBeGreaterThan(BODIES / 5);
    },
    LIMIT_MS,
  );
});

/** The code of an error, in place of an answer or as an event of a stream. */
function codeIn(text: string): string | undefined {
  const error = text.startsWith('{') ? text : /^data: (\{"error":.*)$/m.exec(text)?.[1];
  return error === undefined ? undefined : (JSON.parse(error) as { error?: { code: string } }).error?.code;
}
