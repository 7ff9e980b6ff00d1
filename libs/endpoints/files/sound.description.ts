/** How one description of a track has its sound decoded. */
export interface SoundDescription {
  /** What a packet takes at least. 0: nobody here knows its codec. */
  packetSeconds: number;
  /** More bytes than this are more packets than are counted. Infinity: one packet is never two. */
  bytesPerSecondMax: number;
}

const UNKNOWN: SoundDescription = { packetSeconds: 0, bytesPerSecondMax: Infinity };
/** Before the first description: version, flags, and how many there are. */
const FIRST_AT = 8;
/** A description of a sound, without what follows its fields. */
const FIELDS_BYTES = 36;
/** The sample rate, in 16.16 bits. 0: too high for them. */
const RATE_AT = 32;

const AAC_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];
const RATE_IN_FULL = 15;
/** MPEG-4 audio, and the profiles of MPEG-2 AAC. */
const AAC = new Set([0x40, 0x66, 0x67, 0x68]);
/** Main, low complexity, scalable rate, long-term prediction, and the two that add what is above their core's rate. */
const AAC_OBJECTS = new Set([1, 2, 3, 4, 5, 29]);
const AAC_PACKET_SAMPLES = 1_024;
/** 320 kbit a second. Decoders take what is left of a packet for the next one. */
const AAC_BYTES_PER_SECOND_MAX = 40_000;
/** Descriptors of MPEG-4: of a stream, of its decoder, and what that is set up with. */
const [STREAM, DECODER, SETUP] = [3, 4, 5];

/** What a box `stsd` says, from behind its head. */
export function soundsIn(stsd: Buffer): SoundDescription[] {
  const sounds: SoundDescription[] = [];
  for (let at = FIRST_AT; at + 8 <= stsd.length;) {
    const size = stsd.readUInt32BE(at);
    const end = size < 8 ? stsd.length : at + size;
    sounds.push(describedBy(stsd.subarray(at, end)));
    at = end;
  }
  return sounds;
}

function describedBy(description: Buffer): SoundDescription {
  if (description.length < FIELDS_BYTES) return UNKNOWN;
  const rate = description.readUInt16BE(RATE_AT) || Infinity;
  switch (description.toString('latin1', 4, 8)) {
    case 'mp4a':
      return aacOf(description, rate);
    case 'alac':
      return losslessOf(description, rate);
    default:
      return UNKNOWN;
  }
}

/** Of two rates that contradict each other, the slower one: it may be the core's. */
function aacOf(description: Buffer, rate: number): SoundDescription {
  const at = description.indexOf('esds', FIELDS_BYTES, 'latin1');
  const core = at < 0 ? 0 : coreRateOf(description.subarray(at + 8));
  if (core === 0) return UNKNOWN;
  return { packetSeconds: AAC_PACKET_SAMPLES / Math.min(rate, core), bytesPerSecondMax: AAC_BYTES_PER_SECOND_MAX };
}

/** Apple's lossless codec says how many samples a packet has, and their rate once more. */
function losslessOf(description: Buffer, rate: number): SoundDescription {
  const at = description.indexOf('alac', FIELDS_BYTES, 'latin1');
  if (at < 0 || at + 32 > description.length) return UNKNOWN;
  const slower = Math.min(rate, description.readUInt32BE(at + 28) || Infinity);
  return { packetSeconds: description.readUInt32BE(at + 8) / slower, bytesPerSecondMax: Infinity };
}

/** ISO/IEC 14496-1, 7.2.6, and 14496-3, 1.6.2.1. 0: it is another codec. */
function coreRateOf(descriptors: Buffer): number {
  const stream = contentOf(descriptors, STREAM);
  const flags = stream[2] ?? 0;
  const dependsBytes = flags & 0x80 ? 2 : 0;
  const urlBytes = flags & 0x40 ? 1 + (stream[3 + dependsBytes] ?? 0) : 0;
  const clockBytes = flags & 0x20 ? 2 : 0;
  const decoder = contentOf(stream.subarray(3 + dependsBytes + urlBytes + clockBytes), DECODER);
  if (!AAC.has(decoder[0] ?? 0)) return 0;
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = contentOf(decoder.subarray(13), SETUP);
  if (!AAC_OBJECTS.has(first >> 3)) return 0;
  const index = ((first & 7) << 1) | (second >> 7);
  if (index === RATE_IN_FULL) return ((second & 0x7f) << 17) | (third << 9) | (fourth << 1) | (fifth >> 7);
  return AAC_RATES[index] ?? 0;
}

/** Of the descriptor that the bytes begin with; empty: they begin with another one. */
function contentOf(bytes: Buffer, tag: number): Buffer {
  let length = 0;
  for (let at = 1; bytes[0] === tag && at <= 4; at++) {
    const part = bytes[at] ?? 0;
    length = length * 128 + (part & 0x7f);
    if (part < 0x80) return bytes.subarray(at + 1, at + 1 + length);
  }
  return Buffer.alloc(0);
}
