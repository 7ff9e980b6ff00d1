import { describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import type { Content } from '#libs/endpoints/content.js';
import { blobUrl, type Blob } from '#libs/endpoints/endpoint.js';
import { BlobImages } from './blob.images.js';

const MIB = 1_048_576;
const blobOf = (ref: string, bytes = 3): Blob => ({ ref, bytes, type: 'image/png', field: 'image' });
const imageOf = (blob: Blob): Content => ({ kind: 'image', url: blobUrl(blob) });
const call = (requestId: string, keyId = 'k') => ({ requestId, keyId });

describe('images that are files of a request', () => {
  it('stand in the places of their URLs while guards look, and nothing else changes', async () => {
    const read: string[] = [];
    const images = new BlobImages((requestId, { ref }) => {
      read.push(`${requestId} ${ref}`);
      return Promise.resolve(Buffer.from(ref));
    });
    const [first, second, sound] = [blobOf('0-1'), blobOf('1-1'), { ...blobOf('2-1'), type: 'audio/wav' }];
    const contents: Content[] = [
      { kind: 'text', text: blobUrl(first) },
      imageOf(first),
      { kind: 'image', url: 'data:image/png;base64,AAAA' },
      imageOf(second),
      imageOf(first),
    ];
    const body = { json: {}, blobs: [first, second, sound] };
    const shown = await images.shown(call('r'), body, contents, (one) => Promise.resolve(one));
    const url = ({ ref }: Blob): string => `data:image/png;base64,${Buffer.from(ref).toString('base64')}`;
    expect(shown).toEqual([
      contents[0],
      { kind: 'image', url: url(first) },
      contents[2],
      { kind: 'image', url: url(second) },
      { kind: 'image', url: url(first) },
    ]);
    // Once each, and no file that nobody judges.
    expect(read).toEqual(['r 0-1', 'r 1-1']);
  });

  it('that are gone leave nothing to judge', async () => {
    const images = new BlobImages(() => Promise.reject(new Error('gone')));
    let judged = false;
    const look = (): Promise<void> => Promise.resolve(void (judged = true));
    const blob = blobOf('0-1');
    await expect(images.shown(call('r'), { json: {}, blobs: [blob] }, [imageOf(blob)], look)).rejects.toThrow('gone');
    expect(judged).toBe(false);
    await images.shown(call('r'), { json: {}, blobs: [blob] }, [], look);
    expect(judged).toBe(true);
  });

  it('of one key wait for each other where they are large, and those of others do not', async () => {
    const images = new BlobImages(() => Promise.resolve(Buffer.from('x')));
    const begun: string[] = [];
    const first = Promise.withResolvers<void>();
    const look = (id: string, keyId: string, until?: Promise<void>): Promise<void> => {
      const blob = blobOf('0-1', 20 * MIB);
      return images.shown(call(id, keyId), { json: {}, blobs: [blob] }, [imageOf(blob)], async () => {
        begun.push(id);
        await until;
      });
    };
    const looks = [look('a', 'k', first.promise), look('b', 'k'), look('c', 'other')];
    await turn();
    await turn();
    expect(begun.toSorted()).toEqual(['a', 'c']);
    first.resolve();
    await Promise.all(looks);
    expect(begun.toSorted()).toEqual(['a', 'b', 'c']);
  });
});
