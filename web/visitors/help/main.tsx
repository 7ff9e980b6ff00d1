import '../../shared/pages.css';
import { useEffect, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { AGAIN_WORDS, TOPICS, type Topic } from '#libs/contracts/help.js';
import { Badge, Frame } from '../../shared/parts.js';
import { ENTRIES, matching, type Entry } from './entries.js';

const SEARCH_CHARACTERS_MAX = 100;

/** The place that the address names. A code of a provider has none of its own. */
function placeInAddress(): string | null {
  const name = location.hash.slice(1);
  if (name === '') return null;
  return ENTRIES.find(({ id }) => id === name)?.id ?? ENTRIES.at(-1)!.id;
}

/** Words in backticks are code. */
const Words = ({ text }: { text: string }): ReactNode => (
  <>{text.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>
);

function One({ entry, isChosen }: { entry: Entry; isChosen: boolean }): ReactNode {
  const { id, name, status, help } = entry;
  const details = Object.entries(help.details ?? {});
  return (
    <section id={id} className={isChosen ? 'help chosen' : 'help'} aria-labelledby={`${id}-name`}>
      <div className="row">
        <h3 id={`${id}-name`} tabIndex={-1}>
          {status === null ? name : <code>{name}</code>}
        </h3>
        {status !== null && <span className="small">status {status}</span>}
        <Badge tone={help.again === 'soon' ? 'good' : 'calm'}>
          {{ soon: 'try again', later: 'not now', changed: 'change the request' }[help.again]}
        </Badge>
      </div>
      <p>
        <Words text={help.what} />
      </p>
      <p>
        <strong>What now?</strong> <Words text={help.now} />
      </p>
      <p>
        <strong>Does the same request help?</strong> {AGAIN_WORDS[help.again]}
      </p>
      {details.length > 0 && (
        <details open={isChosen}>
          <summary>For programs: what error.daypass says</summary>
          <dl className="fields">
            {details.map(([field, words]) => (
              <div key={field}>
                <dt>
                  <code>{field}</code>
                </dt>
                <dd>
                  <Words text={words} />
                </dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </section>
  );
}

function Page(): ReactNode {
  const [chosen, setChosen] = useState(placeInAddress);
  const [search, setSearch] = useState('');
  useEffect(() => {
    const moved = (): void => {
      setChosen(placeInAddress());
      setSearch('');
    };
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  // The browser looked for the place before the page had it.
  useEffect(() => {
    if (chosen === null) return;
    document.getElementById(chosen)?.scrollIntoView({ block: 'start' });
    document.getElementById(`${chosen}-name`)?.focus({ preventScroll: true });
  }, [chosen]);
  const found = matching(search);
  return (
    <Frame
      wide
      foot={
        <>
          <a href="/key">My key</a>
          <a href="/play">Playground</a>
          <a href="/privacy">Privacy</a>
        </>
      }
    >
      <div className="card">
        <h1>What an error means</h1>
        <p>
          Each error has a code, in the field <code>error.code</code>. Its address on this page is in{' '}
          <code>error.daypass.help</code>.
        </p>
        <label className="field">
          Find a code, or a word
          <input
            type="text"
            value={search}
            placeholder="insufficient_quota"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={SEARCH_CHARACTERS_MAX}
            onInput={({ currentTarget }) => setSearch(currentTarget.value.slice(0, SEARCH_CHARACTERS_MAX))}
          />
        </label>
        <p className="small" role="status">
          {search.trim() === '' ? '' : `${found.length} of ${ENTRIES.length} codes`}
        </p>
      </div>
      {(Object.keys(TOPICS) as Topic[]).map((topic) => {
        const entries = found.filter(({ help }) => help.topic === topic);
        return entries.length === 0 ? null : (
          <div key={topic} className="card">
            <h2>{TOPICS[topic]}</h2>
            {entries.map((entry) => (
              <One key={entry.id} entry={entry} isChosen={entry.id === chosen} />
            ))}
          </div>
        );
      })}
    </Frame>
  );
}

createRoot(document.getElementById('app')!).render(<Page />);
