import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Body } from '#libs/endpoints/endpoint.js';
import type { RemoteImage } from '#libs/endpoints/images.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import type { ImageAllowance } from './image.allowance.js';
import { ImageFetchError, type ImageFault, type ImageFetcher } from './image.fetcher.js';
import { ImageTurns } from './image.turns.js';

/** A call fetches so many of its images at once. */
const AT_ONCE = 4;
/** An image counts as so much of the key's hour at least: to ask a server costs something, too. */
const IMAGE_BYTES_MIN = 65_536;
const BUSY_RETRY_MS = 5_000;

export interface RemoteImagesParts {
  fetcher: ImageFetcher;
  allowance: ImageAllowance;
  /** Called for each image. `busy`: nobody fetched it, because the key has too much of this. */
  observe: (outcome: ImageFault | 'ok' | 'busy', images: number) => void;
  /** Of all images of a call. */
  mostBytes: number;
  /** For all images of a call. */
  timeoutMs: number;
}

/** Fetches the images that a request names by their addresses, so that the model gets the pictures that were judged. */
export class RemoteImages {
  private readonly turns = new ImageTurns();

  constructor(private readonly parts: RemoteImagesParts) {}

  /**
   * The body with the images in it; the same one where it names none.
   * @throws DaypassError `invalid_request` that names the parameter, or `rate_limit_exceeded`
   */
  async inlined(
    { keyId, remoteImages, ...ticket }: Pick<Ticket, 'keyId' | 'endpoint' | 'remoteImages'>,
    body: Body,
  ): Promise<Body> {
    if (remoteImages === 0) return body;
    const endpoint = endpointOf(ticket);
    const images = endpoint.remoteImages(body);
    if (images.length === 0) return body;
    const signal = AbortSignal.timeout(this.parts.timeoutMs);
    const fetched = await this.turns.run(keyId, signal, () => this.fetchAll(keyId, images, signal));
    if (fetched === null) {
      this.parts.observe('busy', images.length);
      throw new DaypassError(
        'rate_limit_exceeded',
        'Daypass fetches images for other calls of this key already. Wait for their answers, or send images as data: URLs.',
        { param: images[0]!.param, retryAfterMs: BUSY_RETRY_MS },
      );
    }
    return endpoint.withImages(body, fetched);
  }

  private async fetchAll(
    keyId: string,
    images: readonly RemoteImage[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const { allowance, mostBytes } = this.parts;
    const allowed = await allowance.take(keyId, mostBytes);
    if ('retryAfterMs' in allowed) {
      this.parts.observe('busy', images.length);
      throw new DaypassError(
        'rate_limit_exceeded',
        'Daypass has fetched as many bytes of images for this key as it may in an hour. Send images as data: URLs.',
        { param: images[0]!.param, retryAfterMs: allowed.retryAfterMs },
      );
    }
    let usedBytes = 0;
    try {
      return await this.fetchEach(images, signal, (bytes) => (usedBytes += bytes) <= allowed.bytes);
    } finally {
      await allowed.settle(Math.max(usedBytes, IMAGE_BYTES_MIN * images.length));
    }
  }

  private async fetchEach(
    images: readonly RemoteImage[],
    timeOver: AbortSignal,
    take: (bytes: number) => boolean,
  ): Promise<ReadonlyMap<string, string>> {
    const fetched = new Map<string, string>();
    const failed = new AbortController();
    const signal = AbortSignal.any([timeOver, failed.signal]);
    const waiting = [...Map.groupBy(images, ({ url }) => url).values()];
    const next = async (): Promise<void> => {
      for (let group = waiting.shift(); group; group = waiting.shift()) {
        const [{ url, param }] = group as [RemoteImage];
        const places = group.length;
        try {
          // It stands in the request once for each place.
          fetched.set(url, await this.parts.fetcher.fetch(url, { signal, take: (bytes) => take(bytes * places) }));
          this.parts.observe('ok', 1);
        } catch (error) {
          if (failed.signal.aborted) return;
          failed.abort();
          const fault = error instanceof ImageFetchError ? error.fault : 'unreachable';
          this.parts.observe(fault, 1);
          throw this.refusal(fault, param);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return fetched;
  }

  private refusal(fault: ImageFault, param: string): DaypassError {
    const said: Record<ImageFault, string> = {
      unreachable: 'its address cannot be reached, is not public, or its server does not show it to everybody',
      not_an_image: 'what its address has is no png, jpeg, gif or webp image',
      too_large: `the images of a request may have ${this.parts.mostBytes} bytes together`,
      too_slow: `the images of a request must arrive within ${this.parts.timeoutMs / 1_000} seconds`,
    };
    return new DaypassError(
      'invalid_request',
      `Daypass could not fetch the image '${param}': ${said[fault]}. Nothing was forwarded and nothing was charged. Send another address, or the image itself as a data: URL.`,
      { param, details: { image: fault } },
    );
  }
}
