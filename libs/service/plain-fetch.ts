import { Agent, request, type Dispatcher } from 'undici';

/**
 * The official client calls it instead of the global `fetch`. It uses the same HTTP client without web streams. The
 * caller's signal carries the deadline for the headers.
 */
export function plainFetch(dispatcher: Dispatcher = new Agent({ headersTimeout: 0 })): typeof fetch {
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

function headersOf(raw: Dispatcher.ResponseData['headers']): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) for (const one of [value ?? []].flat()) headers.append(name, one);
  return headers;
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

  text(): Promise<string> {
    return this.raw.text();
  }
}
