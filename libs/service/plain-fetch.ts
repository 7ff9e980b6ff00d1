import { Agent, interceptors, type Dispatcher } from 'undici';
import { spokenError } from '#libs/endpoints/error-shapes.js';

/** Unpacked: a few bytes may unpack to many. */
export const UNPACKED_BYTES_MAX = 33_554_432;
export const TEXT_BYTES_MAX = 8_388_608;
/** An error's message stands at its begin. */
export const ERROR_BYTES_MAX = 65_536;
const NO_TEXT = 'application/json';

const unpacked = interceptors.decompress({ skipErrorResponses: false, maxSize: UNPACKED_BYTES_MAX });

/** So much of an answer waits for its reader before the upstream has to wait. */
const WAITING_BYTES_MAX = 65_536;

/**
 * The official client calls it instead of the global `fetch`. It uses the same HTTP client without web streams, and
 * without the streams of Node, which cost as much as the rest. The caller's signal carries the deadline for the headers.
 * It unpacks what an upstream compressed unasked. The body of an error always has OpenAI's shape, and is empty where it
 * says nothing.
 */
export function plainFetch(agent: Dispatcher = new Agent({ headersTimeout: 0 })): typeof fetch {
  const dispatcher = agent.compose(unpacked);
  return (input, { method = 'GET', headers, body, signal } = {}) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const { origin, pathname, search } = new URL(input instanceof Request ? input.url : input);
      dispatcher.dispatch(
        {
          origin,
          path: pathname + search,
          method: method as Dispatcher.HttpMethod,
          headers: Object.fromEntries(headers instanceof Headers ? headers : new Headers(headers)),
          body: body as string | null,
        },
        new Exchange(resolve, reject, signal ?? undefined),
      );
    });
}

/** One request, and its answer as it comes. */
class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private body: PlainBody | undefined;
  private failure: Error | undefined;
  private hasEnded = false;

  constructor(
    private readonly resolve: (response: Response) => void,
    private readonly reject: (error: Error) => void,
    private readonly signal: AbortSignal | undefined,
  ) {
    signal?.addEventListener('abort', this.onAbort);
  }

  /** undici calls it once more where it sends the request on another connection. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // The caller went before there was a connection.
    if (this.failure) controller.abort(this.failure);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Parameters<typeof headersOf>[0],
  ): void {
    if (status < 200 || this.hasEnded) return;
    this.body = new PlainBody(
      () => controller.resume(),
      () => this.breakOff(new Error('nobody reads the answer on')),
    );
    this.resolve(new PlainResponse(status, headersOf(headers), this.body) as unknown as Response);
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.hasEnded || !this.body) return;
    if (this.body.add(piece) > WAITING_BYTES_MAX) controller.pause();
  }

  onResponseEnd(): void {
    if (this.end()) this.body?.end();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.fail(error);
  }

  private readonly onAbort = (): void => this.breakOff(this.signal!.reason as Error);

  private breakOff(error: Error): void {
    if (!this.fail(error)) return;
    this.controller?.abort(error);
  }

  private fail(error: Error): boolean {
    if (!this.end()) return false;
    this.failure = error;
    if (this.body) this.body.fail(error);
    else this.reject(error);
    return true;
  }

  /** Only the first end counts: undici also tells of the abort that this caused. */
  private end(): boolean {
    if (this.hasEnded) return false;
    this.hasEnded = true;
    this.signal?.removeEventListener('abort', this.onAbort);
    return true;
  }
}

/** The pieces of an answer, for one reader. Who stops reading lets the connection go. */
class PlainBody implements AsyncIterableIterator<Uint8Array> {
  private readonly waiting: Buffer[] = [];
  private waitingBytes = 0;
  private hasEnded = false;
  private failure: Error | undefined;
  private wake: (() => void) | undefined;

  constructor(
    private readonly resume: () => void,
    private readonly leave: () => void,
  ) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns how many bytes wait. */
  add(piece: Buffer): number {
    this.waiting.push(piece);
    this.waitingBytes += piece.length;
    this.wake?.();
    return this.waitingBytes;
  }

  end(): void {
    this.hasEnded = true;
    this.wake?.();
  }

  /** What waits is gone with it. */
  fail(error: Error): void {
    this.failure = error;
    this.waiting.length = 0;
    this.wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const value = this.waiting.shift();
      if (value) {
        const before = this.waitingBytes;
        this.waitingBytes -= value.length;
        if (before > WAITING_BYTES_MAX && this.waitingBytes <= WAITING_BYTES_MAX) this.resume();
        return { done: false, value };
      }
      if (this.failure) throw this.failure;
      if (this.hasEnded) return { done: true, value: undefined };
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  cancel(): void {
    if (!this.hasEnded) this.leave();
  }
}

export function headersOf(raw: Dispatcher.ResponseData['headers']): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) for (const one of [value ?? []].flat()) headers.append(name, one);
  return headers;
}

/** The body of an error in OpenAI's shape; undefined where it says nothing. */
export function spokenBody(text: string, status: number, headers: Headers): { error: object } | undefined {
  // Plain text beside a 5xx comes from a proxy, and may name hosts.
  const contentType = status < 500 ? (headers.get('content-type') ?? '') : NO_TEXT;
  const error = spokenError(text, contentType);
  return error ? { error } : undefined;
}

/** The parts of a `Response` that the client and its callers use. */
class PlainResponse {
  readonly ok: boolean;
  readonly body: AsyncIterable<Uint8Array> & { cancel: () => Promise<void> };

  constructor(
    readonly status: number,
    readonly headers: Headers,
    raw: PlainBody,
  ) {
    this.ok = status >= 200 && status < 300;
    this.body = {
      [Symbol.asyncIterator]: () => raw,
      cancel: async () => raw.cancel(),
    };
  }

  async text(): Promise<string> {
    if (this.ok) return this.read(TEXT_BYTES_MAX, { orFail: true });
    const error = spokenBody(await this.read(ERROR_BYTES_MAX, { orFail: false }), this.status, this.headers);
    return error ? JSON.stringify(error) : '';
  }

  /** @throws when there is more, with `orFail`; else the rest is left out. */
  private async read(bytesMax: number, { orFail }: { orFail: boolean }): Promise<string> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of this.body) {
      pieces.push(piece);
      bytes += piece.byteLength;
      if (bytes <= bytesMax) continue;
      if (orFail) throw new Error(`the upstream's answer is larger than ${bytesMax} bytes`);
      break;
    }
    return new TextDecoder().decode(Buffer.concat(pieces).subarray(0, bytesMax));
  }
}
