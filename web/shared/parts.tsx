import {
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useRef,
  useState,
  type ReactNode,
  type RefObject,
} from 'react';
import { copyText, type Copied } from './copy.js';
import { safeHref } from './links.js';
import type { Snippet } from './snippets.js';
import { followSystem, keepTheme, shownTheme } from './theme.js';
import { countdown, localTime, relative, utcTime } from './time.js';

/** The time, once in so many milliseconds while the page is visible. */
export function useNow(everyMs = 1_000): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const tick = (): void => {
      if (!document.hidden) setNow(new Date());
    };
    const timer = setInterval(tick, everyMs);
    document.addEventListener('visibilitychange', tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', tick);
    };
  }, [everyMs]);
  return now;
}

/** The same function at every render, which calls the newest one: an effect can name it and need not run again. */
export function useEvent(newest: () => void): () => void {
  const kept = useRef(newest);
  useEffect(() => {
    kept.current = newest;
  });
  return useCallback(() => kept.current(), []);
}

/** `Fri 27 Nov, 14:02 CET (in 21 hours)`, with UTC in the title. */
export function Time({ at, now, alone = false }: { at: string; now: Date; alone?: boolean }): ReactNode {
  const date = new Date(at);
  return (
    <time dateTime={date.toISOString()} title={utcTime(date)}>
      {localTime(date, now)}
      {alone ? '' : ` (${relative(date, now)})`}
    </time>
  );
}

/** Counts down to a time, and says once that it has come. Screen readers hear the time itself, not each second. */
export function Countdown({ until, onEnd }: { until: string; onEnd: () => void }): ReactNode {
  const now = useNow();
  const leftMs = Date.parse(until) - now.getTime();
  const isOver = leftMs <= 0;
  const ended = useEvent(onEnd);
  useEffect(() => {
    if (isOver) ended();
  }, [isOver, ended]);
  return (
    <span className="countdown" role="timer" aria-live="off">
      {countdown(leftMs)}
    </span>
  );
}

/** A link to what an operator wrote. What is no address stays text. */
export function Elsewhere({
  to,
  children,
  className,
}: {
  to: string;
  children: ReactNode;
  className?: string;
}): ReactNode {
  const href = safeHref(to);
  if (href === null) return <span className={className}>{children}</span>;
  return (
    <a
      className={className}
      href={href}
      {...(href.startsWith('mailto:') ? {} : { target: '_blank', rel: 'noopener noreferrer' })}
    >
      {children}
    </a>
  );
}

const COPIED_FOR_MS = 4_000;
const isMac = (): boolean => /mac|iphone|ipad/i.test(navigator.userAgent);

/** Copies `text`. `shown` is the element in which the page shows it. */
export function CopyButton({
  text,
  shown,
  label,
  className = 'button',
}: {
  text: string;
  shown: () => HTMLElement | null;
  label: string;
  className?: string;
}): ReactNode {
  const [copied, setCopied] = useState<Copied | null>(null);
  useEffect(() => {
    if (copied !== 'copied') return undefined;
    const timer = setTimeout(() => setCopied(null), COPIED_FOR_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (): Promise<void> => {
    const element = shown();
    if (element) setCopied(await copyText(text, element));
  };
  return (
    <>
      <button type="button" className={className} onClick={() => void copy()}>
        {copied === 'copied' ? 'Copied ✓' : label}
      </button>
      <span role="status" className={copied === 'selected' ? 'hint' : 'unseen'}>
        {copied === 'copied' && 'Copied.'}
        {copied === 'selected' &&
          `This browser copies nothing for pages. The text is selected: press ${isMac() ? '⌘C' : 'Ctrl+C'}.`}
      </span>
    </>
  );
}

/** It scrolls, so that the keyboard has to reach it. */
export const Code = ({
  text,
  label,
  shown,
}: {
  text: string;
  label: string;
  shown?: RefObject<HTMLPreElement | null>;
}): ReactNode => (
  // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
  <pre ref={shown} tabIndex={0} aria-label={label} role="region">
    {text}
  </pre>
);

/** Tabs as WAI-ARIA has them: arrows move between them, and Tab leads into the panel. */
export function Snippets({ snippets }: { snippets: readonly Snippet[] }): ReactNode {
  const [chosen, setChosen] = useState(0);
  const id = useId();
  const tabs = useRef<(HTMLButtonElement | null)[]>([]);
  const shown = useRef<HTMLPreElement>(null);
  const open = Math.min(chosen, snippets.length - 1);
  const move = (event: { key: string; preventDefault: () => void }): void => {
    const last = snippets.length - 1;
    const to = {
      ArrowRight: open === last ? 0 : open + 1,
      ArrowLeft: open === 0 ? last : open - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    setChosen(to);
    tabs.current[to]?.focus();
  };
  return (
    <div className="snippets">
      <div className="tabs" role="tablist" aria-label="Use the key in">
        {snippets.map(({ label }, index) => (
          <button
            key={label}
            type="button"
            role="tab"
            id={`${id}-tab-${index}`}
            aria-controls={`${id}-panel`}
            aria-selected={index === open}
            tabIndex={index === open ? 0 : -1}
            ref={(element) => {
              tabs.current[index] = element;
            }}
            onClick={() => setChosen(index)}
            onKeyDown={move}
          >
            {label}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-tab-${open}`} className="panel">
        <Code text={snippets[open]!.text} label={`${snippets[open]!.label} snippet`} shown={shown} />
        <CopyButton
          key={open}
          text={snippets[open]!.text}
          shown={() => shown.current}
          label="Copy"
          className="button quiet"
        />
      </div>
    </div>
  );
}

/** A dialog of the browser's own: it keeps the focus inside, Escape closes it, and the focus goes back afterwards. */
export function Dialog({
  title,
  children,
  onClose,
}: {
  title: string;
  children: ReactNode;
  onClose: () => void;
}): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const element = dialog.current!;
    const opener = document.activeElement;
    element.showModal();
    return () => {
      element.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

export function ThemeSwitch(): ReactNode {
  const [theme, setTheme] = useState(shownTheme);
  useEffect(() => followSystem(setTheme), []);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      className="plain"
      onClick={() => {
        keepTheme(other);
        setTheme(other);
      }}
    >
      {other === 'dark' ? 'Dark colours' : 'Light colours'}
    </button>
  );
}

/** What frames each page of visitors. */
export function Frame({
  children,
  foot,
  wide = false,
}: {
  children: ReactNode;
  foot?: ReactNode;
  wide?: boolean;
}): ReactNode {
  return (
    <div className={wide ? 'frame wide' : 'frame'}>
      <main id="main">{children}</main>
      <footer>
        {foot}
        <ThemeSwitch />
        <span className="made">Daypass</span>
      </footer>
    </div>
  );
}

/** Names of models, none of which breaks at its hyphens. */
export const Models = ({ names }: { names: readonly string[] }): ReactNode => (
  <>
    {names.map((name, index) => (
      <span key={name} className="model">
        {name}
        {index < names.length - 1 && ', '}
      </span>
    ))}
  </>
);

export type Tone = 'good' | 'warn' | 'bad' | 'calm';
const SIGNS: Record<Tone, string> = { good: '✓', warn: '!', bad: '✕', calm: 'i' };

/** A state in words, with a sign and a colour. */
export function Notice({ tone, title, children }: { tone: Tone; title: string; children?: ReactNode }): ReactNode {
  return (
    <div className={`notice ${tone}`}>
      <span className="sign" aria-hidden="true">
        {SIGNS[tone]}
      </span>
      <div>
        <strong>{title}</strong>
        {children}
      </div>
    </div>
  );
}

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }): ReactNode {
  return (
    <span className={`badge ${tone}`}>
      <span aria-hidden="true">{SIGNS[tone]} </span>
      {children}
    </span>
  );
}
