import type { z } from 'zod';
import { DaypassError } from '#libs/contracts/errors.js';

/** A field that is null is absent. @throws DaypassError `invalid_request` that names the field */
export function readBody<T extends z.ZodType>(form: T, body: unknown): z.output<T> {
  const parsed = form.safeParse(withoutNulls(body ?? {}));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DaypassError('invalid_request', `${issue!.path.join('.') || 'The body'}: ${issue!.message}`.slice(0, 300), {
    param: issue!.path.join('.') || undefined,
  });
}

function withoutNulls(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}
