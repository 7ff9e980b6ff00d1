import type { IncomingMessage } from 'node:http';
import { DaypassError } from '#libs/contracts/errors.js';
import { hungUp, unsupportedEncoding } from '../refusals.js';

/** Whoever has no key sends no more. */
export const SMALL_BODY_BYTES = 4_096;

/** Reads the JSON of a request without a key; undefined: it has no body. @throws DaypassError that says what is wrong */
export async function readSmallJson(payload: IncomingMessage): Promise<unknown> {
  const encoding = payload.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw unsupportedEncoding();
  const body = await arrived(payload);
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new DaypassError('invalid_json', 'The request body is not valid JSON.');
  }
}

function arrived(payload: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    payload.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= SMALL_BODY_BYTES) chunks.push(chunk);
      else reject(tooLong());
    });
    payload.once('end', () => resolve(Buffer.concat(chunks)));
    payload.once('error', () => reject(hungUp()));
    payload.once('close', () => reject(hungUp()));
  });
}

const tooLong = (): DaypassError =>
  new DaypassError('request_too_large', `The body is too large: it may have ${SMALL_BODY_BYTES} bytes.`);
