import { createHash } from 'node:crypto';
import type { CheckDecision, Direction } from '#libs/contracts/audit.js';

/** A call that was admitted. */
export interface RequestRow {
  kind: 'request';
  id: string;
  atMs: number;
  visitorId: string;
  keyId: string;
  campaignId: string;
  model: string;
  stream: boolean;
  policyVersion: string;
  /** Hex SHA-256 of the sealed content; null where there is none. */
  contentHash: string | null;
}

/** One guard's verdict. */
export interface CheckRow {
  kind: 'check';
  id: string;
  atMs: number;
  requestId: string;
  visitorId: string;
  keyId: string;
  campaignId: string;
  direction: Direction;
  guard: string;
  model: string;
  decision: CheckDecision;
  categories: string[];
  scores: Record<string, number>;
  thresholds: Record<string, number>;
  policyVersion: string;
  latencyMs: number;
  reason: string | null;
  contentHash: string | null;
}

/** What was done to the record itself, and what people and the provider did about a visitor. */
export interface ActRow {
  kind: 'act';
  id: string;
  atMs: number;
  act: 'retention' | 'erasure' | 'safety' | 'status';
  /** The campaign whose contents went, the visitor who was erased, or whom a notice of the provider's named; the key whose status a person set. */
  subject: string;
  /** Of `retention`: contents older than this. */
  beforeMs: number | null;
  note: string | null;
}

export type ChainedRow = RequestRow | CheckRow | ActRow;

/** A place in the chain, and what stands there. */
export interface Link {
  seq: number;
  /** Hex. */
  hash: string;
}

/** Before the first row. */
export const GENESIS: Link = { seq: 0, hash: '00'.repeat(32) };

/** What follows `before`: the hash covers the row, its place, and through the hash before it everything that came before. */
export function linkAfter(before: Link, row: ChainedRow): Link {
  const seq = before.seq + 1;
  return {
    seq,
    hash: createHash('sha256')
      .update(`${before.hash}\n${seq}\n${canonical(row)}`)
      .digest('hex'),
  };
}

/** One text for one value, whatever the order of its fields. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join(',')}}`;
}

/** A policy's version follows from what it says, so that one and the same is never two, nor two one. */
export function policyVersionOf(policy: object): string {
  return createHash('sha256').update(canonical(policy)).digest('hex').slice(0, 16);
}

/** What a checkpoint signs. */
export function checkpointText({ seq, hash }: Link, atMs: number): string {
  return `daypass audit checkpoint\n${seq}\n${hash}\n${new Date(atMs).toISOString()}`;
}
