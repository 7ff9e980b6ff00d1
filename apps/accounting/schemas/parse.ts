import type { z } from 'zod';
import { AdminError } from '../domain/admin.error.js';

/** A long list of unknown fields says no more than its begin does. */
const FAULTS_MAX = 20;
const PATH_MAX_CHARACTERS = 200;

interface Fault {
  path: string;
  message: string;
}

/** @throws AdminError `invalid_request`, which names every fault with its path */
export function parseOrRefuse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const all = parsed.error.issues.flatMap(faultsOf);
  const faults = all.slice(0, FAULTS_MAX);
  const more = all.length > faults.length ? `; and ${all.length - faults.length} more faults` : '';
  throw new AdminError(
    'invalid_request',
    faults.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ') + more,
    { param: faults[0]?.path || undefined, details: { faults } },
  );
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  const path = shown(issue.path.join('.'));
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: shown(path ? `${path}.${key}` : key), message: 'unknown field' }));
  return [{ path, message: messageOf(issue, path) }];
}

function messageOf(issue: z.core.$ZodIssue, path: string): string {
  if (issue.code !== 'invalid_type') return issue.message;
  if (path === '') return 'the request body must be a JSON object, or absent';
  if (/received undefined$/.test(issue.message)) return 'is required';
  if (/received null$/.test(issue.message)) return 'must not be null: the field needs a value';
  return issue.message;
}

/** Names of fields are the client's own text. */
function shown(path: string): string {
  return path.slice(0, PATH_MAX_CHARACTERS).toWellFormed();
}
