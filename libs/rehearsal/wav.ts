const SAMPLE_RATE = 16_000;
const BYTES_OF_SAMPLE = 2;
const HEADER_BYTES = 44;
/** The tone goes up and down like a voice. */
const LOWEST_HZ = 140;
const SWING_HZ = 60;
const LOUDNESS = 8_000;

/** A sound of one channel at 16 kHz: a tone that goes up and down. */
export function wav(seconds: number): Buffer {
  const samples = Math.round(seconds * SAMPLE_RATE);
  const sound = Buffer.alloc(HEADER_BYTES + BYTES_OF_SAMPLE * samples);
  sound.write('RIFF', 0, 'latin1');
  sound.writeUInt32LE(sound.length - 8, 4);
  sound.write('WAVEfmt ', 8, 'latin1');
  sound.writeUInt32LE(16, 16);
  // Plain samples, of one channel.
  sound.writeUInt16LE(1, 20);
  sound.writeUInt16LE(1, 22);
  sound.writeUInt32LE(SAMPLE_RATE, 24);
  sound.writeUInt32LE(SAMPLE_RATE * BYTES_OF_SAMPLE, 28);
  sound.writeUInt16LE(BYTES_OF_SAMPLE, 32);
  sound.writeUInt16LE(8 * BYTES_OF_SAMPLE, 34);
  sound.write('data', 36, 'latin1');
  sound.writeUInt32LE(BYTES_OF_SAMPLE * samples, 40);
  let phase = 0;
  for (let sample = 0; sample < samples; sample++) {
    const hz = LOWEST_HZ + SWING_HZ * (1 + Math.sin((4 * Math.PI * sample) / SAMPLE_RATE));
    phase += (2 * Math.PI * hz) / SAMPLE_RATE;
    sound.writeInt16LE(Math.round(LOUDNESS * Math.sin(phase)), HEADER_BYTES + BYTES_OF_SAMPLE * sample);
  }
  return sound;
}
