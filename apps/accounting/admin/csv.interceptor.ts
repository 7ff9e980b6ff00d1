import { Injectable, SetMetadata, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { stringify } from 'csv-stringify/sync';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { map, type Observable } from 'rxjs';
import { csvForm } from './csv.form.js';

const TABLE = 'daypass:csv';
const WANTS_CSV = /(^|,)\s*text\/csv\s*(;(?!\s*q=0(\.0*)?\s*(,|$))|,|$)/i;

interface Table {
  file: string;
  columns: string[];
}

/** A handler whose `{ data: [ … ] }` may also be read as a table. */
export const AsCsv = (file: string, columns: string[]): MethodDecorator =>
  SetMetadata(TABLE, { file, columns } satisfies Table);

/**
 * Answers with CSV where the client accepts it. It runs around the idempotency, so that the kept answer is the same in
 * both forms.
 */
@Injectable()
export class CsvInterceptor implements NestInterceptor {
  constructor(private readonly reflector: Reflector) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const table = this.reflector.get<Table | undefined>(TABLE, context.getHandler());
    const { accept = '' } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    if (table === undefined || !WANTS_CSV.test(accept)) return next.handle();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      map((answer) => {
        const { data, next_cursor } = answer as { data: object[]; next_cursor?: string | null };
        void reply
          .type('text/csv; charset=utf-8')
          .header('content-disposition', `attachment; filename="${table.file}"`);
        if (typeof next_cursor === 'string') void reply.header('x-next-cursor', next_cursor);
        return stringify(data, csvForm(table.columns));
      }),
    );
  }
}
