import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer, type AnswerReader, type Report, type Whole } from '../endpoint.js';
import { PROVIDER_ID } from '../declaration.js';
import { JSON_TYPE, STREAM_TYPE } from '../event.stream.js';
import { isObject, type JsonObject } from '../json.js';
import { LongValueScan, placeOf } from '../long.values.js';
import { objectOf } from '../misshapen.js';

import { ANSWER_BYTES_MAX, tooLarge, vectorOfBase64, vectorOfNumbers } from './vectors.js';

/** Numbers in full take four times the bytes of base64. */
const ARRIVED_BYTES_MAX = 4 * ANSWER_BYTES_MAX;
/** 65,536 numbers in full. */
const VECTORS = {
  name: 'embedding',
  many: 'vectors',
  tooLong: 'a vector of too many numbers',
  bytesMax: 2_097_152,
};

/** Reads the vectors of one answer, in either form, and writes them in the form that the visitor asked for. */
export class EmbeddingsReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  readonly done = false;
  private readonly vectors: Uint8Array[] = [];
  private arrived = 0;
  private bytes = 0;
  private dimensions = 0;
  private readonly base64: boolean;
  private readonly scan = new LongValueScan(VECTORS, (form, json) => this.take(form, json));

  constructor(private readonly ticket: Pick<Ticket, 'facts'>) {
    this.base64 = ticket.facts.base64 === true;
  }

  /** @throws MisshapenAnswer; DaypassError where the answer is larger than Daypass passes on */
  add(piece: Uint8Array): void {
    this.arrived += piece.byteLength;
    if (this.arrived > ARRIVED_BYTES_MAX) throw tooLarge('input', true);
    this.scan.read(piece);
  }

  whole(last: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    this.add(last);
    const { data, model, usage } = objectOf(this.scan.restText());
    const indexes = this.indexesOf(data);
    if (typeof model === 'string' && PROVIDER_ID.test(model)) this.report.model = model;
    const input = isObject(usage) ? inputTokens(usage) : null;
    if (input !== null) this.report.metered = { input };
    const body = this.written(indexes, input);
    return {
      contents: [],
      provider: [],
      seen: [],
      shown: () => ({ contentType: JSON_TYPE, body }),
      blocked: noOutput,
    };
  }

  event = noStream;
  end = noStream;
  redacted = noStream;
  ending = noStream;

  private take(form: 'string' | 'numbers', written: Buffer): void {
    const { json, dimensions } =
      form === 'string' ? vectorOfBase64(written, this.base64) : vectorOfNumbers(written, this.base64);
    this.bytes += json.length;
    if (this.bytes > ANSWER_BYTES_MAX) throw tooLarge('input', true);
    if (this.vectors.length > 0 && dimensions !== this.dimensions)
      throw new MisshapenAnswer('vectors of unequal lengths');
    this.dimensions = dimensions;
    this.vectors.push(json);
  }

  /** The input that each vector is of. */
  private indexesOf(data: unknown): readonly number[] {
    const count = this.vectors.length;
    if (!Array.isArray(data) || data.length !== count || count !== (this.ticket.facts.vectors ?? count) || count === 0)
      throw new MisshapenAnswer('JSON that has not a vector for each input');
    const indexes = data.map((item: unknown, position) => {
      const { embedding, index = position } = isObject(item) ? item : ({} as JsonObject);
      if (embedding !== placeOf(position)) throw new MisshapenAnswer('a vector in a wrong place');
      return index as number;
    });
    const isEach =
      new Set(indexes).size === count &&
      indexes.every((index) => Number.isInteger(index) && index >= 0 && index < count);
    if (!isEach) throw new MisshapenAnswer('vectors that are not one for each input');
    return indexes;
  }

  /** Only what is known of an answer is shown: whatever else came is nobody's text, and stays here. */
  private written(indexes: readonly number[], input: number | null): readonly Uint8Array[] {
    const { model } = this.report;
    const told = input === null ? {} : { usage: { prompt_tokens: input, total_tokens: input } };
    const rest = JSON.stringify({ ...(model === undefined ? {} : { model }), ...told }).slice(1);
    const items = indexes.flatMap((index, position) => [
      Buffer.from(`${position === 0 ? '' : '},'}{"object":"embedding","index":${index},"embedding":`),
      this.vectors[position]!,
    ]);
    const end = rest === '}' ? '}]}' : `}],${rest}`;
    return [Buffer.from('{"object":"list","data":['), ...items, Buffer.from(end)];
  }
}

/** null: missing, or 0, which no input costs: some upstreams do not count. */
function inputTokens({ prompt_tokens: prompt, total_tokens: total }: JsonObject): number | null {
  const found = [prompt, total].find((value) => Number.isSafeInteger(value) && (value as number) > 0);
  return (found as number | undefined) ?? null;
}

function noOutput(): never {
  throw new Error('vectors hold nothing that could be taken away');
}

export function noStream(): never {
  throw new Error('vectors come in one piece');
}
