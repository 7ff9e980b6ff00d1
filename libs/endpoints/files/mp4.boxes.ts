import { ByteWalk } from './byte.walk.js';
import { Fields, Mp4Movie, type Table } from './mp4.movie.js';

/** A box begins with its size and its type; a large one has its size behind them. */
const HEAD_BYTES = 8;
const LARGE_HEAD_BYTES = 16;
const IS_LARGE = 1;
const TO_THE_END = 0;
const DEPTH_MAX = 16;
const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'edts', 'mvex', 'moof', 'traf']);
/** The media itself, in which no decoder looks for boxes. */
const MEDIA = 'mdat';
/** A decoder may look for these in boxes that nobody here knows. */
const TELLTALES = ['stsz', 'stz2', 'stsd', 'trun'].map((type) => Buffer.from(type, 'latin1'));
const TYPE_BYTES = 4;

/**
 * Walks over the boxes of an MP4 (ISO/IEC 14496-12), in any order: `moov` may come last. A file whose boxes contradict each
 * other, or hide tables, tells nothing.
 */
export class Mp4Boxes extends ByteWalk {
  private readonly movie = new Mp4Movie();
  /** Where the bytes that `step` looks at lie in the file. */
  private position = 0;
  /** Where the containers end that this place lies in. */
  private readonly ends: number[] = [];
  private table: (Table & { end: number }) | undefined;
  /** Up to here lies a box that nobody here knows. */
  private unknownTo = 0;
  private isLost = false;

  /** 0: nobody here can tell. */
  get seconds(): number {
    return this.isLost ? 0 : this.movie.seconds();
  }

  protected step(bytes: Buffer, at: number): number {
    const step = this.isLost ? bytes.length - at : this.next(bytes, at);
    this.position += step;
    return step;
  }

  private next(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (this.table) return this.entries(this.table, bytes, at);
    if (this.position < this.unknownTo) return this.unknown(bytes.subarray(at));
    while (this.position >= (this.ends.at(-1) ?? Infinity)) this.ends.pop();
    const within = (this.ends.at(-1) ?? Infinity) - this.position;
    // No box is so short: such bytes fill a container up.
    if (within < HEAD_BYTES) return within;
    if (left < HEAD_BYTES) return 0;
    const written = bytes.readUInt32BE(at);
    const head = written === IS_LARGE ? LARGE_HEAD_BYTES : HEAD_BYTES;
    if (left < head) return 0;
    const large = written === IS_LARGE ? Number(bytes.readBigUInt64BE(at + HEAD_BYTES)) : written;
    const size = written === TO_THE_END ? within : large;
    return size < head || size > within ? this.lost(left) : this.box(bytes.subarray(at), head, size);
  }

  private box(bytes: Buffer, head: number, size: number): number {
    const type = bytes.toString('latin1', HEAD_BYTES - TYPE_BYTES, HEAD_BYTES);
    const end = this.position + size;
    if (CONTAINERS.has(type)) {
      if (this.ends.push(end) > DEPTH_MAX || !this.movie.open(type)) return this.lost(bytes.length);
      return head;
    }
    if (type === MEDIA) return size;
    const needed = this.movie.needs(type);
    if (needed === undefined) {
      this.unknownTo = end;
      return head;
    }
    const shown = Math.min(size - head, needed);
    if (bytes.length < head + shown) return 0;
    const table = this.movie.take(type, new Fields(bytes.subarray(head, head + shown)), size - head);
    if (table === 'lost') return this.lost(bytes.length);
    if (!table || table.left <= 0) return size;
    this.table = { ...table, end };
    return head + table.after;
  }

  /** Takes as many entries as are here. */
  private entries(table: Table & { end: number }, bytes: Buffer, at: number): number {
    const count = Math.min(table.left, Math.floor((bytes.length - at) / table.entryBytes));
    for (let index = 0; index < count; index++) table.entry(bytes, at + index * table.entryBytes);
    table.left -= count;
    if (table.left > 0) return count * table.entryBytes;
    this.table = undefined;
    return table.end - this.position;
  }

  private unknown(bytes: Buffer): number {
    const rest = this.unknownTo - this.position;
    const part = bytes.subarray(0, rest);
    if (TELLTALES.some((type) => part.includes(type))) return this.lost(bytes.length);
    // A type may lie across two pieces.
    return part.length === rest ? rest : Math.max(0, part.length - TYPE_BYTES + 1);
  }

  private lost(left: number): number {
    this.isLost = true;
    return left;
  }
}
