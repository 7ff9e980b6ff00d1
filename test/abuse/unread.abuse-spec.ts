import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { completionOf, planAnswer } from '#libs/rehearsal/rehearsal.chat.js';
import type { Daypass } from '#libs/testing/daypass.js';
import { Abuse } from './abuse.js';

const model = 'gpt-5.4-mini';
const ANSWER_CHARACTERS = 8_000_000;
const READERS = 24;
/** Of ingress. Unread answers of one key may take 32 MiB, and one on its way some times its size; all would take half a GB. */
const GROWTH_MB_MAX = 250;
/** What comes late still counts. */
const AFTERMATH_MS = 2_000;
const LIMIT_MS = 120_000;

describe('a visitor who asks for large answers and reads none of them', () => {
  let abuse: Abuse<Daypass>;
  const sockets: Socket[] = [];
  beforeAll(async () => {
    abuse = await Abuse.start();
  }, 60_000);
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await abuse?.stop();
  });

  const ingressMb = (): number => {
    const status = readFileSync(`/proc/${abuse.daypass.services.pid('ingress')}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1_024);
  };

  it(
    'does not fill the memory of ingress',
    async () => {
      const moderation = { input: 'off', output: 'off' };
      const attacker = await abuse.key('1.00', { campaign: { moderation } });
      const asked = { model, messages: [{ role: 'user', content: 'everything' }], max_tokens: 16 };
      // Made once: this process also measures the others.
      const answer = planAnswer(asked, { content: 'CONTENT' });
      const raw = JSON.stringify(completionOf(answer, asked)).replace('CONTENT', 'x'.repeat(ANSWER_CHARACTERS));
      abuse.daypass.rehearsal.onChat = ({ messages }) =>
        JSON.stringify(messages).includes('everything') ? { raw } : undefined;
      const { hostname, port } = new URL(abuse.daypass.baseUrl);
      const request = JSON.stringify(asked);
      const ask = (): void => {
        const socket = connect(Number(port), hostname);
        socket.on('error', () => undefined).pause();
        const head = ['POST /v1/chat/completions HTTP/1.1', 'host: daypass', `authorization: Bearer ${attacker.key}`];
        head.push('content-type: application/json', `content-length: ${request.length}`);
        socket.write(`${head.join('\r\n')}\r\n\r\n${request}`);
        sockets.push(socket);
      };
      let lastAskedMs = Infinity;
      let beforeMb = 0;
      let mostMb = 0;
      const report = await abuse.measure('answers that nobody reads', {
        attacker,
        isReached: () => performance.now() > lastAskedMs + AFTERMATH_MS,
        attack: async (signal) => {
          beforeMb = ingressMb();
          for (let n = 0; n < READERS && !signal.aborted; n++) {
            ask();
            await sleep(400);
          }
          lastAskedMs = performance.now();
          while (!signal.aborted) {
            mostMb = Math.max(mostMb, ingressMb());
            await sleep(100);
          }
        },
      });
      process.stderr.write(`    ingress: ${mostMb - beforeMb} MB more\n`);
      expect(mostMb - beforeMb).toBeLessThan(GROWTH_MB_MAX);
      // An upstream of the tests' own process sends so much that no time of others means anything.
      expect(report.during.refused).toEqual([]);
    },
    LIMIT_MS,
  );
});
