import { DaypassError } from '#libs/contracts/errors.js';
import { MisshapenAnswer } from '../endpoint.js';
import { DIMENSIONS_MAX } from './request.declaration.js';

/** The most bytes of an answer as the visitor gets it. Forwarding and ingress pass so many on for one call. */
export const ANSWER_BYTES_MAX = 33_554_432;
const NUMBER_BYTES = 4;
const EXPONENT = 0x7f800000;

const scratch = Buffer.from(new ArrayBuffer(NUMBER_BYTES * DIMENSIONS_MAX));
const scratchBits = new Uint32Array(scratch.buffer);
const scratchNumbers = new Float32Array(scratch.buffer);

/** The visitor learns how to ask for less. `param`: of the request. */
export function tooLarge(param = 'input', charged = false): DaypassError {
  const base64 = param === 'encoding_format' ? "ask for 'base64', " : '';
  const paid = charged ? ' The input was charged.' : '';
  return new DaypassError(
    'invalid_request',
    `The answer would be larger than ${ANSWER_BYTES_MAX} bytes, the most that Daypass passes on: ${base64}send fewer inputs, or ask for fewer dimensions.${paid}`,
    { param },
  );
}

/** A vector as the visitor asked for it: JSON. */
export interface Vector {
  json: Uint8Array;
  dimensions: number;
}

/** Also base64, of another alphabet than OpenAI's. */
const OTHER_ALPHABET = [0x2d, 0x5f] as const;

/**
 * Reads a vector in base64, with its quotes: little-endian floats of 32 bits, as OpenAI writes them. Bytes that are nothing
 * but a vector are shown as they came: written anew they would be the same.
 * @throws MisshapenAnswer
 */
export function vectorOfBase64(quoted: Buffer, base64: boolean): Vector {
  const text = quoted.toString('latin1', 1, quoted.length - 1);
  const bytes = scratch.write(text, 0, 'base64');
  const dimensions = bytes / NUMBER_BYTES;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // The decoder passes over what is no base64.
  const isWhole = bytes > 0 && Number.isInteger(dimensions) && bytes === Math.floor(((text.length - padding) * 3) / 4);
  if (!isWhole) throw new MisshapenAnswer('a vector that is no base64');
  for (let at = 0; at < dimensions; at++)
    if ((scratchBits[at]! & EXPONENT) === EXPONENT) throw new MisshapenAnswer('a vector that is no number');
  if (!base64) return { json: latin1(`[${scratchNumbers.subarray(0, dimensions).join(',')}]`), dimensions };
  const isSame = text.length % 4 === 0 && OTHER_ALPHABET.every((byte) => !quoted.includes(byte));
  return { json: isSame ? quoted : latin1(`"${scratch.toString('base64', 0, bytes)}"`), dimensions };
}

/** Reads a vector in numbers. @throws MisshapenAnswer */
export function vectorOfNumbers(written: Buffer, base64: boolean): Vector {
  const numbers = numbersIn(written.toString('latin1'));
  const dimensions = numbers.length;
  if (!base64) return { json: latin1(JSON.stringify(numbers)), dimensions };
  scratchNumbers.set(numbers);
  return { json: latin1(`"${scratch.toString('base64', 0, NUMBER_BYTES * dimensions)}"`), dimensions };
}

function numbersIn(text: string): number[] {
  let numbers: unknown;
  try {
    numbers = JSON.parse(text);
  } catch {
    throw new MisshapenAnswer('a vector that is no JSON');
  }
  const isVector = Array.isArray(numbers) && numbers.length > 0 && numbers.length <= DIMENSIONS_MAX;
  if (!isVector || !(numbers as unknown[]).every(Number.isFinite))
    throw new MisshapenAnswer('a vector that is no numbers');
  return numbers as number[];
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
