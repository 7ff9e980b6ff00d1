import { Resolver, type LookupAddress } from 'node:dns';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from 'request-filtering-agent';
import { DENIED_ADDRESSES, isPublicAddress, type ImageAddresses } from './image.addresses.js';

/**
 * Why there is no image. `unreachable`: also where the address is not public, so that nobody learns from the difference
 * what a private network has.
 */
export type ImageFault = 'unreachable' | 'not_an_image' | 'too_large' | 'too_slow';

export class ImageFetchError extends Error {
  constructor(readonly fault: ImageFault) {
    super(`no image: ${fault}`);
    this.name = 'ImageFetchError';
  }
}

interface FetchOptions {
  /** Takes so many bytes of what the caller has room for; false: it has no more. */
  take: (bytes: number) => boolean;
  /** Aborts when the time is over. */
  signal: AbortSignal;
}

const REDIRECTS_MAX = 3;
/** Answers that a server may send before its answer (1xx), such as early hints. */
const INTERIM_MAX = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** All kinds are known by so many bytes. */
const HEAD_BYTES = 12;
/** Chunks of one byte each would keep the process busy. Beyond so many, chunks have so many bytes on average. */
const SMALL_CHUNKS_MAX = 1_000;
const CHUNK_BYTES = 256;
/** Such a body, or such interim answers, take the process as much time as so many bytes. */
const CRUMBS_BYTES = 2_097_152;
const DNS_TIMEOUT_MS = 2_000;
const DNS_TRIES = 2;
const HEADERS = {
  accept: 'image/png, image/jpeg, image/webp, image/gif',
  'accept-encoding': 'identity',
  'user-agent': 'Daypass (fetches images that its visitors name)',
};

/**
 * Fetches an image as a `data:` URL, from public addresses only. The agent checks the address that a name resolved to,
 * and connects to no other. It does so again for each redirect.
 */
export class ImageFetcher {
  private readonly agents = agents();

  private readonly lookup: LookupFunction;

  constructor(
    private readonly addresses: ImageAddresses,
    lookup: LookupFunction = lookupBy(new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES })),
  ) {
    this.lookup = publicOnly(lookup);
  }

  /** Ends with its signal, whatever hangs. @throws ImageFetchError */
  async fetch(url: string, options: FetchOptions): Promise<string> {
    const { signal } = options;
    const over = Promise.withResolvers<never>();
    const onAbort = (): void => over.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      signal.throwIfAborted();
      return await Promise.race([over.promise, this.read(url, options)]);
    } catch (error) {
      if (signal.aborted) throw new ImageFetchError('too_slow');
      throw error instanceof ImageFetchError ? error : new ImageFetchError('unreachable');
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  private async read(url: string, options: FetchOptions): Promise<string> {
    const response = await this.follow(url, options);
    try {
      return await readImage(response, options);
    } finally {
      response.destroy();
    }
  }

  private async follow(first: string, options: FetchOptions): Promise<IncomingMessage> {
    let url = first;
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      if (this.addresses.fault(url) !== null) break;
      const response = await this.get(new URL(url), options);
      const { statusCode = 0, headers } = response;
      if (statusCode === 200) return response;
      response.destroy();
      if (!REDIRECTS.has(statusCode) || headers.location === undefined) break;
      url = new URL(headers.location, url).href;
    }
    throw new ImageFetchError('unreachable');
  }

  private get(url: URL, { take, signal }: FetchOptions): Promise<IncomingMessage> {
    const { get } = url.protocol === 'https:' ? https : http;
    // Hosts that the operator named may stand in a hosts file, which only the system's own look-up reads.
    const way = this.addresses.isAllowed(url)
      ? { agent: false }
      : { agent: this.agents[url.protocol as 'http:' | 'https:'], lookup: this.lookup };
    return new Promise((resolve, reject) => {
      let interim = 0;
      const request = get(url, { ...way, headers: HEADERS, signal }, resolve);
      // The signal may end it after its head, too, which is no error that nobody expects.
      request.on('error', reject);
      // Where the server switches protocols (101), Node hangs up without an error.
      request.on('close', () => reject(new ImageFetchError('unreachable')));
      request.on('information', () => {
        if (++interim <= INTERIM_MAX || request.destroyed) return;
        take(CRUMBS_BYTES);
        request.destroy();
      });
    });
  }
}

function agents() {
  const options = { keepAlive: false, denyIPAddressList: DENIED_ADDRESSES };
  return {
    'http:': new RequestFilteringHttpAgent(options),
    'https:': new RequestFilteringHttpsAgent(options),
  } as const;
}

/**
 * Node's own look-up runs in four threads that all of a process share: names whose servers do not answer would stop it.
 */
export function lookupBy(resolver: Resolver): LookupFunction {
  return (name, { all }, callback) => {
    const found: LookupAddress[] = [];
    let answers = 0;
    const collect =
      (family: 4 | 6) =>
      (_: Error | null, addresses: string[] = []): void => {
        found.push(...addresses.map((address) => ({ address, family })));
        if (++answers < 2) return;
        const [first] = found;
        if (!first) callback(new Error('nobody knows this name'), []);
        else if (all) callback(null, found);
        else callback(null, first.address, first.family);
      };
    resolver.resolve4(name, collect(4));
    resolver.resolve6(name, collect(6));
  };
}

/** The rules for what a name resolves to are those for an address that stands in a URL. The agent knows fewer ranges. */
export function publicOnly(lookup: LookupFunction): LookupFunction {
  return (name, options, callback) =>
    lookup(name, options, (error, found, family) => {
      if (error) return callback(error, found, family);
      const addresses = typeof found === 'string' ? [found] : found.map(({ address }) => address);
      if (addresses.every(isPublicAddress)) callback(error, found, family);
      else callback(new Error('this name has an address that is not public'), []);
    });
}

function readImage(response: IncomingMessage, { take }: FetchOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let type: string | null = null;
    const refuse = (fault: ImageFault): void => {
      response.removeAllListeners('data').destroy();
      reject(new ImageFetchError(fault));
    };
    response.on('data', (bytes: Buffer) => {
      size += bytes.length;
      if (!take(bytes.length)) return refuse('too_large');
      chunks.push(bytes);
      if (chunks.length > SMALL_CHUNKS_MAX && size < chunks.length * CHUNK_BYTES) {
        take(CRUMBS_BYTES);
        return refuse('unreachable');
      }
      if (type !== null || size < HEAD_BYTES) return;
      type = typeOf(Buffer.concat(chunks));
      if (type === null) refuse('not_an_image');
    });
    response.on('end', () => {
      if (type === null) refuse('not_an_image');
      else resolve(`data:image/${type};base64,${Buffer.concat(chunks).toString('base64')}`);
    });
    response.on('error', reject);
    response.on('close', () => reject(new ImageFetchError('unreachable')));
  });
}

/** By its first bytes: a header may say anything. */
function typeOf(head: Buffer): 'png' | 'jpeg' | 'gif' | 'webp' | null {
  const text = head.toString('latin1', 0, HEAD_BYTES);
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  return /^RIFF.{4}WEBP$/s.test(text) ? 'webp' : null;
}
