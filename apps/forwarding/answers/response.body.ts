import { createParser } from 'eventsource-parser';

/** After its last event an upstream may keep its stream open for so long, before Daypass hangs up. */
const CLOSING_MS = 1_000;
/** Of an API that names no other bound (`Endpoint.answerBytesMax`). */
const ANSWER_BYTES_MAX = 33_554_432;

/** The bytes of a whole answer. @throws when there are too many */
export async function readBytes(response: Pick<Response, 'body'>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of boundedPieces(response)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The bytes of an answer as they come, bounded by whoever reads them. */
export const piecesOf = bodyOf;

/** The same within a bound. @throws when there are too many */
export async function* boundedPieces(
  response: Pick<Response, 'body'>,
  bytesMax = ANSWER_BYTES_MAX,
): AsyncGenerator<Uint8Array> {
  const bound = new ByteBound(bytesMax);
  for await (const piece of bodyOf(response)) yield bound.count(piece);
}

export interface StreamEvent {
  name: string | undefined;
  data: string;
}

/** The events of a stream as they come, with an unfinished last one. Awaits `pause` after each read. */
export async function* readEvents(
  response: Pick<Response, 'body'>,
  pause: () => Promise<void>,
  bytesMax = ANSWER_BYTES_MAX,
): AsyncGenerator<StreamEvent[]> {
  const decoder = new TextDecoder();
  const bound = new ByteBound(bytesMax);
  let events: StreamEvent[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => events.push({ name: event, data }) });
  for await (const piece of bodyOf(response)) {
    parser.feed(decoder.decode(bound.count(piece), { stream: true }));
    if (events.length === 0) continue;
    yield events;
    events = [];
    await pause();
  }
  parser.feed(decoder.decode());
  // An upstream may leave out the empty line that ends the last event.
  parser.feed('\n\n');
  if (events.length > 0) yield events;
}

/** Reads what follows the last event: only a stream that was read to its end leaves its socket for the next call. */
export function readOn(reads: AsyncGenerator<unknown>, controller: AbortController): void {
  const timer = setTimeout(() => controller.abort(new Error('the upstream kept its stream open')), CLOSING_MS);
  const drain = async (): Promise<void> => {
    while (!(await reads.next()).done);
  };
  void drain()
    .catch(() => undefined)
    .finally(() => clearTimeout(timer));
}

/** The first part of a body, and the whole of it once more. */
export async function peeked(response: Response): Promise<{ start: string; body: Pick<Response, 'body'> }> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield* bodyOf(response);
  }
  const rest = pieces();
  const first = await rest.next();
  async function* whole(): AsyncGenerator<Uint8Array> {
    if (first.done) return;
    yield first.value as Uint8Array;
    yield* rest;
  }
  const start = first.done ? '' : new TextDecoder().decode(first.value as Uint8Array);
  return { start, body: { body: whole() as unknown as Response['body'] } };
}

function bodyOf({ body }: Pick<Response, 'body'>): AsyncIterable<Uint8Array> | Uint8Array[] {
  return (body as AsyncIterable<Uint8Array> | null) ?? [];
}

class ByteBound {
  private bytes = 0;

  constructor(private readonly bytesMax: number) {}

  /** @throws when the answer has become too large */
  count(piece: Uint8Array): Uint8Array {
    this.bytes += piece.byteLength;
    if (this.bytes > this.bytesMax) throw new Error(`the upstream's answer is larger than ${this.bytesMax} bytes`);
    return piece;
  }
}
