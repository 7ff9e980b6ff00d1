import { createHash } from 'node:crypto';
import { audioLengthOf, type AudioLength } from '#libs/endpoints/files/audio.length.js';
import { fileTypeOf, HEAD_BYTES } from '#libs/endpoints/files/file.type.js';
import type { Blob } from '#libs/endpoints/endpoint.js';
import { PIECE_BYTES, refOf } from '#libs/holds/file.store.js';

/** Takes the pieces of all files of one request, in their order. The piece's memory serves for the next one. */
export type KeepPiece = (content: Buffer) => Promise<void>;

/** Does work on so many bytes in its turn. */
export type Step = (bytes: number, work: () => void) => Promise<void>;

const FIRST_BYTES = 16_384;
/** A hostile sound takes a hundred times as long as others to look at. After so long other work has its turn. */
const LOOK_MAX_MS = 2;
const LOOK_BYTES = 32_768;

/** One file while it arrives: cuts it into pieces, and looks at what passes. Holds at most one piece. */
export class Upload {
  private readonly hash = createHash('sha256');
  private piece = Buffer.allocUnsafe(FIRST_BYTES);
  private waiting = 0;
  private head = '';
  private type: string | undefined;
  private length: AudioLength | undefined;
  private bytes = 0;
  private pieces = 0;

  /** `first`: the number of its first piece. */
  constructor(
    private readonly first: number,
    private readonly step: Step,
    private readonly keep: KeepPiece,
  ) {}

  async add(chunk: Buffer): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      const part = chunk.subarray(from, from + PIECE_BYTES - this.waiting);
      from += part.length;
      this.gather(part);
      if (this.waiting === PIECE_BYTES) await this.cut();
    }
  }

  /** null: it has no bytes. */
  async end(field: string, filename: string): Promise<Blob | null> {
    if (this.waiting > 0) await this.cut();
    if (this.type === undefined) return null;
    const seconds = this.length?.seconds();
    return {
      ref: refOf(this.first, this.pieces),
      bytes: this.bytes,
      type: this.type,
      field,
      filename,
      head: this.head,
      ...(seconds === undefined ? {} : { seconds }),
      hash: this.hash.digest('base64url'),
    };
  }

  /** Copies it: a slow visitor may send each byte in a chunk of its own. */
  private gather(part: Buffer): void {
    const length = this.waiting + part.length;
    if (length > this.piece.length) {
      const larger = Buffer.allocUnsafe(Math.min(PIECE_BYTES, 2 * length));
      this.piece.copy(larger, 0, 0, this.waiting);
      this.piece = larger;
    }
    part.copy(this.piece, this.waiting);
    this.waiting = length;
  }

  private async cut(): Promise<void> {
    const content = this.piece.subarray(0, this.waiting);
    this.waiting = 0;
    if (this.type === undefined) {
      const head = content.subarray(0, HEAD_BYTES);
      this.head = head.toString('base64');
      this.type = fileTypeOf(head);
      this.length = audioLengthOf(this.type);
    }
    this.bytes += content.length;
    this.pieces++;
    await this.look(content);
    await this.keep(content);
  }

  private async look(content: Buffer): Promise<void> {
    let at = 0;
    const some = (): void => {
      const sinceMs = performance.now();
      while (at < content.length && performance.now() - sinceMs < LOOK_MAX_MS) {
        const part = content.subarray(at, at + LOOK_BYTES);
        this.hash.update(part);
        this.length?.add(part);
        at += part.length;
      }
    };
    while (at < content.length) await this.step(content.length, some);
  }
}
