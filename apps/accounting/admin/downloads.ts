import { pipeline, Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import { stringify } from 'csv-stringify';
import type { FastifyReply } from 'fastify';
import { AtMost } from '../at-most.js';
import type { Period } from '../schemas/audit.schemas.js';
import { csvForm } from './csv.form.js';

/** A slow reader holds none of Postgres' connections, and each of the others one at a time. */
const AT_ONCE = 4;

interface File<Row> {
  /** Its name, without its ending. */
  name: string;
  columns: readonly (keyof Row & string)[];
  format: Period['format'];
  rows: AsyncIterable<Row>;
}

/** Answers with all rows of a list as one file, written while it is read. */
@Injectable()
export class Downloads {
  private readonly places = new AtMost(AT_ONCE, 'downloads');

  /** @throws AdminError `too_busy` */
  send<Row extends object>(reply: FastifyReply, { name, columns, format, rows }: File<Row>): FastifyReply {
    const leave = this.places.take();
    const isCsv = format === 'csv';
    const file = isCsv
      ? pipeline(Readable.from(rows), stringify(csvForm(columns)), () => undefined)
      : Readable.from(jsonLines(rows));
    file.once('close', leave);
    return reply
      .type(isCsv ? 'text/csv; charset=utf-8' : 'application/x-ndjson')
      .header('content-disposition', `attachment; filename="${name}.${format}"`)
      .send(file);
  }
}

async function* jsonLines(rows: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const row of rows) yield `${JSON.stringify(row)}\n`;
}
