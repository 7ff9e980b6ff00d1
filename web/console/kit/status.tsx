import { Icon, type IconName } from './icon.tsx';

type Tone = 'good' | 'warn' | 'bad' | 'quiet';
const LOOKS: Readonly<Record<string, [Tone, IconName]>> = {
  active: ['good', 'ok'],
  open: ['good', 'ok'],
  free: ['good', 'ok'],
  pass: ['good', 'ok'],
  posted: ['good', 'ok'],
  paused: ['warn', 'pause'],
  suspended: ['bad', 'pause'],
  flagged: ['warn', 'warn'],
  blocked: ['bad', 'stop'],
  error: ['warn', 'warn'],
  redacted: ['warn', 'warn'],
  unchecked: ['warn', 'warn'],
  unavailable: ['bad', 'warn'],
  warned: ['warn', 'warn'],
  resting: ['warn', 'clock'],
  running: ['quiet', 'clock'],
  used: ['quiet', 'key'],
  voided: ['quiet', 'stop'],
  expired: ['quiet', 'clock'],
  revoked: ['quiet', 'stop'],
  closed: ['quiet', 'stop'],
  shut: ['bad', 'stop'],
  ready: ['good', 'ok'],
  away: ['bad', 'warn'],
  'takes calls': ['good', 'ok'],
  'calls wait': ['warn', 'clock'],
  frozen: ['warn', 'pause'],
  'left alone': ['bad', 'stop'],
  proved: ['good', 'ok'],
  'not proved': ['bad', 'warn'],
  agrees: ['good', 'ok'],
  'billed more': ['bad', 'warn'],
  on: ['good', 'ok'],
  off: ['quiet', 'stop'],
};

/** A word, an icon and a colour: no state is told by colour alone. */
export function Status({ of }: { of: string }) {
  const [tone, icon] = LOOKS[of] ?? ['quiet', 'dot'];
  return (
    <span className="status" data-tone={tone}>
      <Icon name={icon} size={13} />
      {of}
    </span>
  );
}
