import type { Ticket } from '#libs/contracts/jobs.js';
import type { Content } from '#libs/endpoints/content.js';
import { blobUrl, type Blob, type Body } from '#libs/endpoints/endpoint.js';
import { MemoryRoom } from '#libs/pacing/memory.room.js';

/** Reads a file of a request. @throws where it is gone */
export type ReadBlob = (requestId: string, blob: Blob) => Promise<Buffer>;

/** An image takes so many times its bytes while guards see it: the file, its base64, and that in a request. */
const TIMES = 4;
const FOR_EVER = new AbortController().signal;

/** Puts the images that are files of a request in the places of their URLs, so that guards see pictures. */
export class BlobImages {
  private readonly room = new MemoryRoom();

  constructor(private readonly read: ReadBlob) {}

  /** Does the work on the contents, with their images in them. @throws where a file is gone; what the work throws */
  async shown<T>(
    { requestId, keyId }: Pick<Ticket, 'requestId' | 'keyId'>,
    { blobs }: Body,
    contents: readonly Content[],
    work: (shown: readonly Content[]) => Promise<T>,
  ): Promise<T> {
    const named = new Set(contents.flatMap((content) => (content.kind === 'image' ? [content.url] : [])));
    const images = blobs.filter((blob) => named.has(blobUrl(blob)));
    if (images.length === 0) return work(contents);
    const bytes = images.reduce((sum, image) => sum + image.bytes, 0);
    return this.room.within(keyId, TIMES * bytes, FOR_EVER, async () => {
      const urls = new Map<string, string>();
      for (const image of images) {
        const base64 = (await this.read(requestId, image)).toString('base64');
        urls.set(blobUrl(image), `data:${image.type};base64,${base64}`);
      }
      return work(contents.map((content) => (content.kind === 'image' ? withImage(content, urls) : content)));
    });
  }
}

function withImage(content: Extract<Content, { kind: 'image' }>, urls: ReadonlyMap<string, string>): Content {
  const url = urls.get(content.url);
  return url === undefined ? content : { kind: 'image', url };
}
