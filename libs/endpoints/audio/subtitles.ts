/** One part of a transcript, with its times in seconds. */
export interface Cue {
  start: number;
  end: number;
  text: string;
}

/** As Whisper writes them: without spaces around a text, and without what stands between two times. */
const said = ({ text }: Cue): string => text.trim().replaceAll('-->', '->');

export const srt = (cues: readonly Cue[]): string =>
  cues
    .map((cue, index) => `${index + 1}\n${time(cue.start, ',')} --> ${time(cue.end, ',')}\n${said(cue)}\n\n`)
    .join('');

export const vtt = (cues: readonly Cue[]): string =>
  `WEBVTT\n\n${cues.map((cue) => `${time(cue.start, '.')} --> ${time(cue.end, '.')}\n${said(cue)}\n\n`).join('')}`;

/** E.g. `00:01:02,500`. */
function time(seconds: number, mark: ',' | '.'): string {
  const ms = Math.round(Math.max(0, seconds) * 1_000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1_000) % 60];
  return `${two(h)}:${two(m)}:${two(s)}${mark}${String(ms % 1_000).padStart(3, '0')}`;
}
