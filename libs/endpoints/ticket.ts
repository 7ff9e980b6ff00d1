import { ticketSchema, type Ticket } from '#libs/contracts/jobs.js';
import { isTicket } from '#libs/contracts/ticket.shape.js';

/**
 * The version before called `outputs` and one of the facts by the names of chat completions, the only API that it served. While
 * services of both versions run, each must be able to read what the other wrote.
 */
interface Former {
  choices?: unknown;
  includeUsage?: unknown;
}

/** A ticket as it is written into queues and lanes. */
export function writtenTicket(ticket: Ticket): Ticket & Former {
  return { ...ticket, choices: Math.max(1, ticket.outputs), includeUsage: ticket.facts.includeUsage ?? false };
}

/** @throws ZodError where it is no ticket */
export function readTicket(written: unknown): Ticket {
  const { choices, includeUsage, ...rest } = (written ?? {}) as Former & Partial<Ticket>;
  if (isTicket(rest)) return rest;
  const former = rest.outputs === undefined ? { outputs: choices, facts: { includeUsage: includeUsage === true } } : {};
  return ticketSchema.parse({ ...rest, ...former });
}
