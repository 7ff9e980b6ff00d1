import { Injectable, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { parseOrRefuse } from '../schemas/parse.js';

/** Parses a body or a query. Its error names every fault with its path. */
@Injectable()
export class ZodPipe<T> implements PipeTransform<unknown, T> {
  constructor(private readonly schema: z.ZodType<T>) {}

  transform(value: unknown): T {
    // Fastify leaves an absent body undefined. A JSON null is a body.
    return parseOrRefuse(this.schema, value === undefined ? {} : value);
  }
}
