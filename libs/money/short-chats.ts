import type { ModelPrice } from '#libs/contracts/jobs.js';
import { costOf } from './cost.js';

/** A question and its answer of some lines each. */
const SHORT_CHAT = { input: 150, output: 100 };
const MOST = 1_000_000_000n;

/** How many short chats a budget buys, as people say it: two digits, then zeros. */
export function shortChats(budgetNano: bigint, price: ModelPrice): number | null {
  const each = costOf(price, SHORT_CHAT);
  if (each <= 0n) return null;
  const chats = budgetNano / each;
  const digits = Number(chats > MOST ? MOST : chats);
  const step = 10 ** Math.max(0, String(digits).length - 2);
  return Math.floor(digits / step) * step;
}
