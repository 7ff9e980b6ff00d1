import { Injectable, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { AdminError } from '../domain/admin.error.js';

interface Fault {
  path: string;
  message: string;
}

/** Parses a body or a query. Its error names every fault with its path. */
@Injectable()
export class ZodPipe<T> implements PipeTransform<unknown, T> {
  constructor(private readonly schema: z.ZodType<T>) {}

  transform(value: unknown): T {
    const parsed = this.schema.safeParse(value ?? {});
    if (parsed.success) return parsed.data;
    const faults = parsed.error.issues.flatMap(faultsOf);
    throw new AdminError(
      'invalid_request',
      faults.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; '),
      {
        param: faults[0]?.path || undefined,
        details: { faults },
      },
    );
  }
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: path ? `${path}.${key}` : key, message: 'unknown field' }));
  const missing = issue.code === 'invalid_type' && issue.input === undefined && /undefined$/.test(issue.message);
  return [{ path, message: missing ? 'is required' : issue.message }];
}
