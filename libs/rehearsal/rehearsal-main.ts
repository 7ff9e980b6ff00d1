import { Rehearsal } from './rehearsal.js';
import { LIFELIKE } from './rehearsal.pace.js';

/**
 * The rehearsal upstream as a process of its own, for docker compose. DAYPASS_REHEARSAL_PORT, default 8090.
 */
const port = Number(process.env.DAYPASS_REHEARSAL_PORT ?? 8090);
const rehearsal = await Rehearsal.start({
  ...LIFELIKE,
  host: '0.0.0.0',
  port,
  keepCalls: 0,
  organization: 'org-rehearsal',
});
// One line for each call, to compare with the books.
const told = (call: string) => () => {
  process.stdout.write(`${call}\n`);
  return undefined;
};
rehearsal.onChat = told('chat');
rehearsal.onResponses = told('response');
process.stdout.write(`rehearsal upstream at ${rehearsal.url}\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void rehearsal.stop().then(() => process.exit(0)));
