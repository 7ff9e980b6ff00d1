import { localTime, relative, utcTime } from '../../shared/time.ts';
import { useNow } from '../live/stream.ts';

/** A time in the reader's zone, how far it is, and UTC in its title. `short`: only how far it is. */
export function When({ at, none = '–', short = false }: { at: string | null; none?: string; short?: boolean }) {
  const now = new Date(useNow());
  if (at === null) return <span>{none}</span>;
  const date = new Date(at);
  return (
    <time dateTime={at} title={short ? `${localTime(date, now)} · ${utcTime(date)}` : utcTime(date)}>
      {short ? relative(date, now) : `${localTime(date, now)}, ${relative(date, now)}`}
    </time>
  );
}
