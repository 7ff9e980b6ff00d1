import { hash as hashOf } from 'node:crypto';
import type { CheckDecision, Direction } from '#libs/contracts/audit.js';

/** A call that ingress admitted. */
export interface RequestRow {
  kind: 'request';
  id: string;
  atMs: number;
  visitorId: string;
  keyId: string;
  campaignId: string;
  /** Undefined, never null, for chat completions: the hashes of earlier rows cover no such field. */
  endpoint?: string | undefined;
  model: string;
  stream: boolean;
  policyVersion: string;
  /** Hex SHA-256 of the encrypted content; null where there is none. */
  contentHash: string | null;
}

/** One guard's verdict on one direction of a call. */
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

/**
 * `status`: of a key, or of all keys of a campaign · `terms`: a key's time or budget, changed with many others ·
 * `visitor`: all keys of a claimant, or what it may claim · `opened`: somebody read the texts of a call · `reviewed`:
 * somebody marked a flagged call as seen · `door`: the door for all new calls and claims.
 */
export const ACT_KINDS = [
  'retention',
  'erasure',
  'safety',
  'status',
  'terms',
  'visitor',
  'opened',
  'reviewed',
  'door',
] as const;
export type ActKind = (typeof ACT_KINDS)[number];

/** What somebody did to the record itself, and what people and the provider did about a visitor. */
export interface ActRow {
  kind: 'act';
  id: string;
  atMs: number;
  act: ActKind;
  /**
   * What the act is about: a campaign, a visitor or a key by its id, a call that somebody opened or reviewed, or `door`.
   */
  subject: string;
  /** Of `retention`: it deleted contents older than this. */
  beforeMs: number | null;
  note: string | null;
  /** Who did it. Undefined, never null, where nobody said: the hashes of earlier rows cover no such field. */
  actor?: string | undefined;
}

export type ChainedRow = RequestRow | CheckRow | ActRow;

/** The number and the hash of one row in the chain. */
export interface Link {
  seq: number;
  /** Hex. */
  hash: string;
}

/** The link before the first row. */
export const GENESIS: Link = { seq: 0, hash: '00'.repeat(32) };

/**
 * The link of the row after `before`. Its hash covers the row, its number and, through the former hash, all earlier
 * rows.
 */
export function linkAfter(before: Link, row: ChainedRow): Link {
  const seq = before.seq + 1;
  return {
    seq,
    hash: hashOf('sha256', `${before.hash}\n${seq}\n${canonicalRow(row)}`, 'hex'),
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

/** `canonical` of a row. A row has the same fields each time, so that nobody has to sort them. */
export function canonicalRow(row: ChainedRow): string {
  switch (row.kind) {
    case 'request':
      return (
        `{"atMs":${number(row.atMs)},"campaignId":${text(row.campaignId)},"contentHash":${text(row.contentHash)},` +
        (row.endpoint === undefined ? '' : `"endpoint":${text(row.endpoint)},`) +
        `"id":${text(row.id)},"keyId":${text(row.keyId)},"kind":"request","model":${text(row.model)},` +
        `"policyVersion":${text(row.policyVersion)},"stream":${row.stream},"visitorId":${text(row.visitorId)}}`
      );
    case 'check':
      return (
        `{"atMs":${number(row.atMs)},"campaignId":${text(row.campaignId)},"categories":${JSON.stringify(row.categories)},` +
        `"contentHash":${text(row.contentHash)},"decision":${text(row.decision)},"direction":${text(row.direction)},` +
        `"guard":${text(row.guard)},"id":${text(row.id)},"keyId":${text(row.keyId)},"kind":"check",` +
        `"latencyMs":${number(row.latencyMs)},"model":${text(row.model)},"policyVersion":${text(row.policyVersion)},` +
        `"reason":${text(row.reason)},"requestId":${text(row.requestId)},"scores":${sorted(row.scores)},` +
        `"thresholds":${sorted(row.thresholds)},"visitorId":${text(row.visitorId)}}`
      );
    case 'act':
      return canonical(row);
  }
}

const text = (value: string | null): string => JSON.stringify(value);
/** Whoever altered the database may have left anything where a number was. */
const number = (value: unknown): string => (Number.isFinite(value) ? `${value as number}` : canonical(value));

interface Order {
  names: readonly string[];
  sorted: readonly (readonly [name: string, quoted: string])[];
}

/** Guards name few sets of categories, again and again. */
const ORDERS_MAX = 1_000;
const ORDER_CHARACTERS_MAX = 4_096;
const orders = new Map<string, Order>();

function sorted(values: Record<string, number>): string {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) return canonical(values);
  const fields = orderOf(Object.keys(values)).map(([name, quoted]) => quoted + number(values[name]));
  return `{${fields.join(',')}}`;
}

function orderOf(names: readonly string[]): Order['sorted'] {
  const all = names.join('\0');
  const known = orders.get(all);
  // Names that are empty, or have a zero character, may make one text of two sets.
  if (known?.names.length === names.length && known.names.every((name, index) => name === names[index]))
    return known.sorted;
  const order = {
    names,
    sorted: names.toSorted((a, b) => (a < b ? -1 : 1)).map((name) => [name, `${JSON.stringify(name)}:`] as const),
  };
  if (orders.size >= ORDERS_MAX) orders.clear();
  if (all.length <= ORDER_CHARACTERS_MAX) orders.set(all, order);
  return order.sorted;
}

const versions = new WeakMap<object, string>();

/** A policy's version is a hash of it: equal policies have one version, different ones never share it. */
export function policyVersionOf(policy: object): string {
  const known = versions.get(policy);
  if (known !== undefined) return known;
  const version = hashOf('sha256', canonical(policy), 'hex').slice(0, 16);
  versions.set(policy, version);
  return version;
}

/** The text that a checkpoint's signature covers. */
export function checkpointText({ seq, hash }: Link, atMs: number): string {
  return `daypass audit checkpoint\n${seq}\n${hash}\n${new Date(atMs).toISOString()}`;
}
