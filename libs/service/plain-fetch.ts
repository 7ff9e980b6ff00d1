import { Agent, interceptors, request, type Dispatcher } from 'undici';
import { spokenError } from '#libs/endpoints/error-shapes.js';

/** Unpacked: a few bytes may unpack to many. */
export const UNPACKED_BYTES_MAX = 33_554_432;
export const TEXT_BYTES_MAX = 8_388_608;
/** An error's message stands at its begin. */
export const ERROR_BYTES_MAX = 65_536;
const NO_TEXT = 'application/json';

const unpacked = interceptors.decompress({ skipErrorResponses: false, maxSize: UNPACKED_BYTES_MAX });

/**
 * The official client calls it instead of the global `fetch`. It uses the same HTTP client without web streams. The
 * caller's signal carries the deadline for the headers. It unpacks what an upstream compressed unasked. The body of an
 * error always has OpenAI's shape, and is empty where it says nothing.
 */
export function plainFetch(agent: Dispatcher = new Agent({ headersTimeout: 0 })): typeof fetch {
  const dispatcher = agent.compose(unpacked);
  return async (input, init = {}) => {
    const { statusCode, headers, body } = await request(input instanceof Request ? input.url : input, {
      method: (init.method ?? 'GET') as Dispatcher.HttpMethod,
      headers: Object.fromEntries(new Headers(init.headers)),
      body: init.body as string | null,
      signal: init.signal ?? null,
      dispatcher,
    });
    return new PlainResponse(statusCode, headersOf(headers), body) as unknown as Response;
  };
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
    private readonly raw: Dispatcher.ResponseData['body'],
  ) {
    this.ok = status >= 200 && status < 300;
    // A reader gets the error from the stream; nobody else needs it.
    raw.on('error', () => undefined);
    this.body = {
      [Symbol.asyncIterator]: () => raw[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>,
      cancel: async () => void raw.destroy(),
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
