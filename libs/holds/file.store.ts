import type { Redis } from 'ioredis';
import { insist } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ContentBox } from '#libs/secrets/content-box.js';

/** Nobody holds more of a file at once, and no entry of Redis has more. */
export const PIECE_BYTES = 524_288;
/** Redis may be away for so long while a file is read. */
const PATIENCE_MS = 30_000;
/** A quarter of all files may belong to one key. */
const KEY_SHARE = 4;

/** Where a file lies among the pieces of its request. */
export interface StoredFile {
  /** `<number of its first piece>-<how many it has>`. */
  ref: string;
  bytes: number;
}

/** Whose file it is. */
export interface FileOwner {
  requestId: string;
  keyId: string;
  /** How long it waits for the next piece, and for its call. */
  lifeMs: number;
}

export type Kept = 'ok' | 'key' | 'all' | 'gone';

export const FILES_GONE = 'FILES_GONE';

/** Redis has not all of the files of a request any more. */
export class FilesGone extends Error {
  readonly code = FILES_GONE;

  constructor() {
    super('files of the request are gone');
    this.name = 'FilesGone';
  }
}

/**
 * Keeps the files of requests in Redis, sealed, in pieces. They have the life of their call's body: `take-hold` takes them
 * over, and `end-hold` deletes them.
 */
export class FileStore {
  readonly mostOfKey: number;
  private readonly keepScript: Script;
  private readonly dropScript: Script;

  /** `most`: bytes of all. `largest`: of one request, for which each key has room. */
  constructor(
    private readonly redis: Redis,
    private readonly box: ContentBox,
    private readonly bounds: { most: number; largest: number },
  ) {
    this.mostOfKey = Math.max(Math.ceil(bounds.most / KEY_SHARE), bounds.largest);
    this.keepScript = defineScript(redis, 'keep-file');
    this.dropScript = defineScript(redis, 'drop-files');
  }

  /** `piece`: counts from 0 over all files of the request. @throws when Redis does not take it */
  async keep({ requestId, keyId, lifeMs }: FileOwner, piece: number, content: Buffer): Promise<Kept> {
    const sealed = this.box.seal(content, boundTo(requestId, piece));
    const keys = [redisKeys.files(requestId), redisKeys.filesLine, redisKeys.filesSizes];
    const args = [requestId, keyId, piece, sealed, Math.ceil(lifeMs), this.mostOfKey, this.bounds.most];
    return (await this.keepScript(keys, args)) as Kept;
  }

  /** For a request whose call does not begin. */
  async drop(requestId: string): Promise<void> {
    await this.dropScript([redisKeys.files(requestId), redisKeys.filesLine, redisKeys.filesSizes], [requestId]);
  }

  /** @throws FilesGone */
  async assertWhole(requestId: string, files: readonly StoredFile[]): Promise<void> {
    if (files.length === 0) return;
    const pieces = await insist(() => this.redis.hlen(redisKeys.files(requestId)), PATIENCE_MS).catch(() => 0);
    if (pieces < piecesOf(files)) throw new FilesGone();
  }

  /** A file, one piece after the other. @throws FilesGone; when somebody altered it, or it belongs to another call */
  async *pieces(requestId: string, { ref }: Pick<StoredFile, 'ref'>): AsyncGenerator<Buffer> {
    const [first, count] = placeOf(ref);
    for (let piece = first; piece < first + count; piece++) {
      const read = (): Promise<Buffer | null> => this.redis.hgetBuffer(redisKeys.files(requestId), String(piece));
      const sealed = await insist(read, PATIENCE_MS).catch(() => null);
      if (!sealed) throw new FilesGone();
      yield this.box.openBytes(sealed, boundTo(requestId, piece));
    }
  }

  /** A whole file, for whoever has room for it. @throws as `pieces` */
  async read(requestId: string, file: Pick<StoredFile, 'ref'>): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces(requestId, file)) pieces.push(piece);
    return Buffer.concat(pieces);
  }
}

/** A piece fits no other call, and no other place. */
const boundTo = (requestId: string, piece: number): string => `file/${requestId}/${piece}`;

export const refOf = (first: number, count: number): string => `${first}-${count}`;

const placeOf = (ref: string): [first: number, count: number] => ref.split('-').map(Number) as [number, number];

/** How many pieces the files of one request have. */
export function piecesOf(files: readonly Pick<StoredFile, 'ref'>[]): number {
  return files.reduce((sum, { ref }) => sum + placeOf(ref)[1], 0);
}
