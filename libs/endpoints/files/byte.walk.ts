/** Walks over bytes that come in pieces of any size, a few at a time. */
export abstract class ByteWalk {
  private rest = Buffer.alloc(0);
  private toSkip = 0;

  add(piece: Uint8Array): void {
    const skipped = Math.min(this.toSkip, piece.byteLength);
    this.toSkip -= skipped;
    if (this.toSkip > 0) return;
    const arrived = Buffer.from(piece.buffer, piece.byteOffset + skipped, piece.byteLength - skipped);
    const bytes = this.rest.length > 0 ? Buffer.concat([this.rest, arrived]) : arrived;
    let at = 0;
    for (;;) {
      const step = this.step(bytes, at);
      if (step === 0) break;
      at += step;
      if (at < bytes.length) continue;
      this.toSkip = at - bytes.length;
      at = bytes.length;
      break;
    }
    // The piece's memory may serve for another one.
    this.rest = Buffer.from(bytes.subarray(at));
  }

  /** Looks at what begins at `at`, and returns how many bytes to go on, also beyond those that are here. 0: there are too few. */
  protected abstract step(bytes: Buffer, at: number): number;
}
