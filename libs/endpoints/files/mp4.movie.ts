import { soundsIn, type SoundDescription } from './sound.description.js';

const TRACKS_MAX = 64;
/** Of a box, so many bytes are read at most, beside the entries of its table. Descriptions of sounds have some hundred. */
const FIELDS_BYTES = 64;
const DESCRIPTIONS_BYTES = 4_096;
const UNKNOWN_32 = 0xffff_ffff;
const UNKNOWN_64 = 0xffff_ffff_ffff_ffffn;

/** Numbers of a box, from behind its head. 0: it is too short for one. */
export class Fields {
  constructor(readonly bytes: Buffer) {}

  get version(): number {
    return this.bytes[0] ?? 0;
  }

  get flags(): number {
    return this.u32(0) & 0xff_ffff;
  }

  u16(at: number): number {
    return at + 2 <= this.bytes.length ? this.bytes.readUInt16BE(at) : 0;
  }

  u32(at: number): number {
    return at + 4 <= this.bytes.length ? this.bytes.readUInt32BE(at) : 0;
  }

  /** A length in ticks, of 64 bits in a later version of its box. One that is unknown is none. */
  ticks(at: number, isLong: boolean): number {
    if (!isLong) return this.u32(at) === UNKNOWN_32 ? 0 : this.u32(at);
    const long = at + 8 <= this.bytes.length ? this.bytes.readBigUInt64BE(at) : 0n;
    return long === UNKNOWN_64 ? 0 : Number(long);
  }
}

/** The entries of a box: so many of so many bytes, after its first ones. */
export interface Table {
  left: number;
  entryBytes: number;
  after: number;
  entry(bytes: Buffer, at: number): unknown;
}

type Reader = (movie: Mp4Movie, fields: Fields, contentBytes: number) => Table | 'lost' | void;

/** What one track says by its header, its tables and its fragments. */
class Track {
  timescale = 0;
  /** By its header. */
  headerTicks = 0;
  /** The sum of what its packets take by its tables. */
  tableTicks = 0;
  packets = 0;
  packetBytes = 0;
  isSound = false;
  /** Of its descriptions: the slowest one, and whether one is of a codec that nobody here knows. */
  private slowest: SoundDescription = { packetSeconds: 0, bytesPerSecondMax: Infinity };
  private hasUnknown = false;
  /** What a packet has whose fragment, or whose run, does not say it. */
  usual = { ticks: 0, bytes: 0 };
  inFragment = this.usual;

  described({ packetSeconds, bytesPerSecondMax }: SoundDescription): void {
    this.hasUnknown ||= packetSeconds === 0;
    this.slowest = {
      packetSeconds: Math.max(this.slowest.packetSeconds, packetSeconds),
      bytesPerSecondMax: Math.min(this.slowest.bytesPerSecondMax, bytesPerSecondMax),
    };
  }

  /** By its packets. 0: it is no sound. undefined: it is one that nobody here can measure. */
  soundSeconds(): number | undefined {
    const { packetSeconds, bytesPerSecondMax } = this.slowest;
    if (this.isSound && (this.hasUnknown || packetSeconds === 0)) return undefined;
    return packetSeconds > 0 ? Math.max(this.packets * packetSeconds, this.packetBytes / bytesPerSecondMax) : 0;
  }

  /** By what is written in it. */
  toldSeconds(): number {
    return this.timescale > 0 ? Math.max(this.headerTicks, this.tableTicks) / this.timescale : 0;
  }
}

/**
 * How long an MP4 takes: the longest of what its headers, its tables and its packets say. A packet of AAC, or of Apple's
 * lossless codec, has a length of its own. So no header makes a sound shorter than its packets are.
 */
export class Mp4Movie {
  private readonly tracks: Track[] = [];
  private readonly byId = new Map<number, Track>();
  private current: Track | undefined;
  private hasTooMany = false;
  private timescale = 0;
  private headerSeconds = 0;
  /** Of all fragments, by a header of theirs. */
  private fragmentTicks = 0;
  private editTicks = 0;
  private indexSeconds = 0;

  /** 0: nobody here can tell. */
  seconds(): number {
    const sounds = this.tracks.map((track) => track.soundSeconds());
    const sound = Math.max(0, ...sounds.map((seconds) => seconds ?? 0));
    if (sound === 0 || sounds.includes(undefined)) return 0;
    const told = this.timescale > 0 ? Math.max(this.fragmentTicks, this.editTicks) / this.timescale : 0;
    return Math.max(
      sound,
      told,
      this.headerSeconds,
      this.indexSeconds,
      ...this.tracks.map((track) => track.toldSeconds()),
    );
  }

  /** A container begins. False: there are too many of them. */
  open(type: string): boolean {
    if (type === 'trak') this.current = this.newTrack();
    if (type === 'traf') this.current = undefined;
    return !this.hasTooMany;
  }

  /** So many bytes of a box's content `take` wants to see, where it has them. undefined: nobody here knows the box. */
  needs(type: string): number | undefined {
    if (READERS[type] === undefined) return undefined;
    return type === 'stsd' ? DESCRIPTIONS_BYTES : FIELDS_BYTES;
  }

  /** What a box says. `contentBytes`: all that it has, the entries of its table included. */
  take(type: string, fields: Fields, contentBytes: number): Table | 'lost' | void {
    const table = READERS[type]!(this, fields, contentBytes);
    if (this.hasTooMany) return 'lost';
    if (typeof table !== 'object') return table;
    // A table may say that it has more.
    return { ...table, left: Math.min(table.left, Math.floor((contentBytes - table.after) / table.entryBytes)) };
  }

  /** What the boxes are about. */
  get track(): Track {
    return (this.current ??= this.newTrack());
  }

  named(id: number, track = this.track): Track {
    this.byId.set(id, track);
    this.hasTooMany ||= this.byId.size > TRACKS_MAX;
    return track;
  }

  /** A fragment may be of a track that no header has. */
  ofId(id: number): Track {
    return this.byId.get(id) ?? this.named(id, this.newTrack());
  }

  fragmentOf(id: number): Track {
    return (this.current = this.ofId(id));
  }

  header(timescale: number, ticks: number): void {
    if (timescale === 0) return;
    this.timescale = this.timescale > 0 ? Math.min(this.timescale, timescale) : timescale;
    this.headerSeconds = Math.max(this.headerSeconds, ticks / timescale);
  }

  fragmented(ticks: number): void {
    this.fragmentTicks = Math.max(this.fragmentTicks, ticks);
  }

  /** Edits may play the same media again and again. */
  edited(ticks: number): void {
    this.editTicks += ticks;
  }

  indexed(seconds: number): void {
    this.indexSeconds += seconds;
  }

  private newTrack(): Track {
    const track = new Track();
    this.hasTooMany ||= this.tracks.push(track) > TRACKS_MAX;
    return track;
  }
}

const isLong = ({ version }: Fields): boolean => version === 1;

/** Places of fields: ISO/IEC 14496-12, the clauses of each box. */
const READERS: Readonly<Record<string, Reader>> = {
  mvhd: (movie, fields) =>
    isLong(fields)
      ? movie.header(fields.u32(20), fields.ticks(24, true))
      : movie.header(fields.u32(12), fields.ticks(16, false)),
  mehd: (movie, fields) => movie.fragmented(fields.ticks(4, isLong(fields))),
  tkhd: (movie, fields) => void movie.named(fields.u32(isLong(fields) ? 20 : 12)),
  mdhd: ({ track }, fields) => {
    const at = isLong(fields) ? 20 : 12;
    track.timescale = fields.u32(at);
    track.headerTicks = Math.max(track.headerTicks, fields.ticks(at + 4, isLong(fields)));
  },
  hdlr: ({ track }, { bytes }) => {
    track.isSound ||= bytes.toString('latin1', 8, 12) === 'soun';
  },
  stsd: ({ track }, { bytes }, contentBytes) => {
    if (contentBytes > DESCRIPTIONS_BYTES) return 'lost';
    for (const sound of soundsIn(bytes)) track.described(sound);
  },
  stts: ({ track }, fields) => ({
    ...{ left: fields.u32(4), entryBytes: 8, after: 8 },
    entry: (bytes, at) => (track.tableTicks += bytes.readUInt32BE(at) * bytes.readUInt32BE(at + 4)),
  }),
  stsz: ({ track }, fields) => {
    const [size, count] = [fields.u32(4), fields.u32(8)];
    track.packets += count;
    track.packetBytes += size * count;
    if (size > 0) return;
    return {
      ...{ left: count, entryBytes: 4, after: 12 },
      entry: (bytes, at) => (track.packetBytes += bytes.readUInt32BE(at)),
    };
  },
  stz2: ({ track }, fields) => void (track.packets += fields.u32(8)),
  elst: (movie, fields) => {
    const long = isLong(fields);
    return {
      ...{ left: fields.u32(4), entryBytes: long ? 20 : 12, after: 8 },
      entry: (bytes, at) => movie.edited(long ? Number(bytes.readBigUInt64BE(at)) : bytes.readUInt32BE(at)),
    };
  },
  trex: (movie, fields) => {
    movie.ofId(fields.u32(4)).usual = { ticks: fields.u32(12), bytes: fields.u32(16) };
  },
  tfhd: (movie, fields) => {
    const { flags } = fields;
    const track = movie.fragmentOf(fields.u32(4));
    let at = 8 + (flags & 0x1 ? 8 : 0) + (flags & 0x2 ? 4 : 0);
    const { usual } = track;
    const ticks = flags & 0x8 ? fields.u32(at) : usual.ticks;
    if (flags & 0x8) at += 4;
    track.inFragment = { ticks, bytes: flags & 0x10 ? fields.u32(at) : usual.bytes };
  },
  trun: ({ track }, fields) => {
    const { flags } = fields;
    const count = fields.u32(4);
    const [hasTicks, hasBytes] = [(flags & 0x100) !== 0, (flags & 0x200) !== 0];
    const entryBytes = 4 * [0x100, 0x200, 0x400, 0x800].filter((flag) => (flags & flag) !== 0).length;
    track.packets += count;
    if (!hasTicks) track.tableTicks += count * track.inFragment.ticks;
    if (!hasBytes) track.packetBytes += count * track.inFragment.bytes;
    if (!hasTicks && !hasBytes) return;
    return {
      ...{ left: count, entryBytes, after: 8 + (flags & 0x1 ? 4 : 0) + (flags & 0x4 ? 4 : 0) },
      entry: (bytes, at) => {
        if (hasTicks) track.tableTicks += bytes.readUInt32BE(at);
        if (hasBytes) track.packetBytes += bytes.readUInt32BE(hasTicks ? at + 4 : at);
      },
    };
  },
  sidx: (movie, fields) => {
    const timescale = fields.u32(8);
    const after = isLong(fields) ? 32 : 24;
    return {
      ...{ left: timescale > 0 ? fields.u16(after - 2) : 0, entryBytes: 12, after },
      // The others are of a further index.
      entry: (bytes, at) => bytes[at]! < 0x80 && movie.indexed(bytes.readUInt32BE(at + 4) / timescale),
    };
  },
};
