import '../../shared/pages.css';
import { useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { keepKey } from '../../shared/kept.keys.js';
import { Frame } from '../../shared/parts.js';
import { mistakeIn } from '../../shared/virtual.key.js';
import { readLink } from './claim.link.js';

/** `go` says what is wrong with the text, or leads away. */
function Way({
  label,
  hint,
  button,
  go,
}: {
  label: string;
  hint: string;
  button: string;
  go: (text: string) => string | null;
}): ReactNode {
  const [text, setText] = useState('');
  const [mistake, setMistake] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const wrong = go(text.trim());
    setMistake(wrong);
    if (wrong !== null) field.current?.focus();
  };
  return (
    <form className="stack" onSubmit={submit} noValidate>
      <label className="field">
        {label}
        <input
          ref={field}
          type="text"
          value={text}
          placeholder={hint}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={2_000}
          aria-invalid={mistake !== null}
          aria-describedby={`${id}-mistake`}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <span id={`${id}-mistake`} className="error" role="alert">
          {mistake}
        </span>
      </label>
      <div className="row">
        <button type="submit" className="button quiet">
          {button}
        </button>
      </div>
    </form>
  );
}

function openLink(text: string): string | null {
  const found = readLink(text, location.origin);
  if ('mistake' in found) return found.mistake;
  location.assign(found.path);
  return null;
}

function openKey(key: string): string | null {
  const mistake = mistakeIn(key);
  if (mistake !== null) return mistake;
  keepKey({ key, link: '', title: '', at: new Date().toISOString(), baseUrl: `${location.origin}/v1` }, false);
  location.assign('/key');
  return null;
}

createRoot(document.getElementById('app')!).render(
  <Frame
    foot={
      <>
        <a href="/privacy">What is recorded</a>
        <a href="/docs">API</a>
      </>
    }
  >
    <div className="card">
      <h1>Try a project with a key of your own</h1>
      <p className="text">
        The operator of this page gives visitors keys for language models, each with a small budget. You need no
        account: a link brings you a key, and the key works in every client of OpenAI’s API.
      </p>
    </div>
    <div className="card">
      <h2>Have a link?</h2>
      <Way label="Your link" hint={`${location.origin}/c/…`} button="Get my key" go={openLink} />
    </div>
    <div className="card">
      <h2>Have a key?</h2>
      <Way label="Your key" hint="dp_…" button="Show what is left" go={openKey} />
    </div>
  </Frame>,
);
