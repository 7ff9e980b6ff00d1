import { Agent, request, type Dispatcher } from 'undici';

/**
 * What the official client calls instead of the global `fetch`: the same HTTP client beneath it, without web streams. The deadline for the headers is the caller's, by signal.
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

/** As much of a `Response` as the client and its callers use. */
class PlainResponse {
  readonly ok: boolean;
  readonly body: AsyncIterable<Uint8Array> & { cancel: () => Promise<void> };

  constructor(
    readonly status: number,
    readonly headers: Headers,
    private readonly raw: Dispatcher.ResponseData['body'],
  ) {
    this.ok = status >= 200 && status < 300;
    // Whoever reads hears of it; whoever has left does not want to.
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
