import { randomBytes } from 'node:crypto';
import type { Blob } from '#libs/endpoints/endpoint.js';
import { sentNameOf } from '#libs/endpoints/files/file.type.js';
import { fieldsOfJson } from '#libs/endpoints/files/form.fields.js';
import type { JsonObject } from '#libs/endpoints/json.js';

const END = Buffer.from('\r\n');
/** A file of no known type goes out as bytes. */
const BYTES_TYPE = 'application/octet-stream';

/** The pieces of a file, one after the other. */
type PiecesOf = (blob: Blob) => AsyncIterable<Uint8Array>;

/** A request as a form. `body`: for one sending. Nobody holds more of it than a piece. */
export interface FormBody {
  headers: Record<string, string>;
  body: AsyncIterable<Uint8Array>;
}

/** Its length is known before it is sent: some servers take no other form. */
export function formBody(json: JsonObject, blobs: readonly Blob[], piecesOf: PiecesOf): FormBody {
  const boundary = `daypass-${randomBytes(16).toString('hex')}`;
  const heads = blobs.map((blob) => headOf(boundary, blob));
  const fields = Buffer.from(
    fieldsOfJson(json)
      .map(({ name, text }) => fieldOf(boundary, name, text))
      .join(''),
  );
  const last = Buffer.from(`--${boundary}--\r\n`);
  async function* body(): AsyncGenerator<Uint8Array> {
    yield fields;
    for (const [index, blob] of blobs.entries()) {
      yield heads[index]!;
      yield* piecesOf(blob);
      yield END;
    }
    yield last;
  }
  const files = blobs.reduce((sum, { bytes }, index) => sum + heads[index]!.length + bytes + END.length, 0);
  return {
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(fields.length + files + last.length),
    },
    body: body(),
  };
}

function fieldOf(boundary: string, name: string, text: string): string {
  return `--${boundary}\r\ncontent-disposition: form-data; name="${escaped(name)}"\r\n\r\n${text}\r\n`;
}

function headOf(boundary: string, { field, type }: Blob): Buffer {
  return Buffer.from(
    `--${boundary}\r\ncontent-disposition: form-data; name="${escaped(field)}"; filename="${sentNameOf(type)}"\r\n` +
      `content-type: ${type || BYTES_TYPE}\r\n\r\n`,
  );
}

/** As browsers write names (HTML, "Multipart form data"). */
const escaped = (name: string): string => name.replaceAll('\r', '%0D').replaceAll('\n', '%0A').replaceAll('"', '%22');
