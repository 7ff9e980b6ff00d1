import '../../shared/pages.css';
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { useHeldKey } from '../../shared/held.key.js';
import { hasEnded, KEY_WORDS, stateOf } from '../../shared/key.words.js';
import { keptKeys, type KeptKey } from '../../shared/kept.keys.js';
import { showUsd } from '../../shared/money.js';
import { Badge, Elsewhere, Frame, Notice, Snippets } from '../../shared/parts.js';
import { visiblePrefix } from '../../shared/virtual.key.js';
import {
  askedIn,
  fullness,
  isOver,
  MESSAGE_CHARACTERS_MAX,
  newTurn,
  requestOf,
  runTurn,
  SYSTEM_CHARACTERS_MAX,
  type Turn,
  type Wish,
} from './chat.js';
import { OneTurn } from './parts.js';
import { snippetsOf } from './snippets.js';
import { chatModels, placeWords, Speaker } from './texts.js';

/** Screen readers hear what is added. Older sentences make room. */
const SPOKEN_MAX = 30;
/** Who is so near to the end of the page wants to see what comes. */
const NEAR_END_PX = 160;
const MAX_TOKENS_DIGITS = 7;
const FIRST_WORDS = 'Say hello';

const foot = (
  <>
    <a href="/key">My key</a>
    <a href="/help">Errors</a>
    <a href="/privacy">Privacy</a>
  </>
);

function Page(): ReactNode {
  const [kept] = useState(() => keptKeys()[0]);
  if (kept !== undefined) return <Playground kept={kept} />;
  return (
    <Frame foot={foot}>
      <div className="card">
        <h1>Playground</h1>
        <Notice tone="calm" title="This page needs a key.">
          <p>Here you talk to a model with your own key, and see what each answer costs.</p>
        </Notice>
        <div className="row">
          <a className="button" href="/key">
            Enter my key
          </a>
        </div>
        <p className="small">You have none? Ask the project that you want to try for its link.</p>
      </div>
    </Frame>
  );
}

function Playground({ kept }: { kept: KeptKey }): ReactNode {
  const { view, fault, refresh } = useHeldKey(kept.key);
  const [wish, setWish] = useState<Wish>({ model: '', system: '', maxTokens: null });
  const [draft, setDraft] = useState('');
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const [tab, setTab] = useState<'chat' | 'code'>('chat');
  const [spoken, setSpoken] = useState<readonly { id: number; text: string }[]>([]);
  const [mistake, setMistake] = useState<string | null>(null);
  const running = useRef<AbortController | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const end = useRef<HTMLDivElement>(null);
  const count = useRef(0);
  const id = useId();
  useEffect(() => () => running.current?.abort(), []);

  const models = chatModels(view?.models ?? []);
  const model = models.includes(wish.model) ? wish.model : (models[0] ?? '');
  const last = turns.at(-1);
  const isRunning = last !== undefined && !isOver(last);
  const next = requestOf({ ...wish, model }, turns, draft.trim() || FIRST_WORDS);
  const full = fullness(turns, next);

  const speak = (sentences: readonly string[]): void => {
    if (sentences.length === 0) return;
    const added = sentences.map((text) => ({ id: ++count.current, text }));
    setSpoken((before) => [...before, ...added].slice(-SPOKEN_MAX));
  };
  const send = async (): Promise<void> => {
    if (isRunning || full !== null) return;
    if (draft.trim() === '') {
      setMistake('Write a message first.');
      field.current?.focus();
      return;
    }
    setMistake(null);
    const turn = newTurn(++count.current, next);
    const speaker = new Speaker();
    const stop = new AbortController();
    running.current = stop;
    let wasOver = false;
    let wasQueued = false;
    setTurns((before) => [...before, turn]);
    setDraft('');
    setSpoken([]);
    field.current?.focus();
    await runTurn(turn, kept.key, stop.signal, (now, said) => {
      setTurns((before) => before.map((one) => (one.id === now.id ? now : one)));
      speak(speaker.push(said));
      if (now.place !== null && !wasQueued) {
        wasQueued = true;
        speak([`${placeWords(now.place)}.`]);
      }
      if (!isOver(now) || wasOver) return;
      wasOver = true;
      speak(speaker.end());
      refresh();
    });
  };
  const stop = (): void => {
    running.current?.abort();
    field.current?.focus();
  };
  const again = (turn: Turn): void => {
    setDraft(askedIn(turn));
    setTurns((before) => before.filter((one) => one !== turn));
    field.current?.focus();
  };

  const shownLength = last?.text.length ?? 0;
  useEffect(() => {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    const isNear = scrollHeight - clientHeight - scrollTop < NEAR_END_PX;
    if (turns.length > 0 && (shownLength === 0 || isNear)) end.current?.scrollIntoView({ block: 'end' });
  }, [turns.length, shownLength]);

  if (view === null)
    return (
      <Frame foot={foot}>
        <div className="card" aria-busy={fault === null}>
          <h1>Playground</h1>
          {fault === null && <p>Looking for your key…</p>}
          {fault?.code === 'invalid_api_key' && (
            <Notice tone="bad" title="Nobody here knows this key.">
              <p>
                It may have been replaced. <a href="/key">Enter another key</a>.
              </p>
            </Notice>
          )}
          {fault !== null && fault.code !== 'invalid_api_key' && (
            <div role="status">
              <Notice tone="warn" title="This page cannot reach the service.">
                <p>It asks again by itself.</p>
              </Notice>
            </div>
          )}
        </div>
      </Frame>
    );
  const words = KEY_WORDS[stateOf(view)];
  return (
    <Frame wide foot={foot}>
      <div className="card">
        <div className="row spread">
          <h1>Playground</h1>
          <div className="row">
            <a href="/key">
              <code>{visiblePrefix(kept.key)}…</code>
            </a>
            <Badge tone={words.tone}>{words.badge}</Badge>
            {!hasEnded(view) && <span>{showUsd(view.available_usd)} left</span>}
          </div>
        </div>
        {words.title !== null && (
          <Notice tone={words.tone} title={words.title}>
            <p>{words.text}</p>
            {view.contact && (
              <p>
                Contact: <Elsewhere to={view.contact}>{view.contact}</Elsewhere>
              </p>
            )}
          </Notice>
        )}
        {models.length === 0 ? (
          <Notice tone="calm" title="Your key has no model for a chat.">
            <p>
              It can call {view.models.join(', ')}. <a href="/key">The page of your key</a> shows how.
            </p>
          </Notice>
        ) : (
          <Settings wish={{ ...wish, model }} models={models} onChange={setWish} />
        )}
      </div>
      {models.length > 0 && (
        <div className="card">
          <div className="row spread">
            <div className="tabs" role="tablist" aria-label="The conversation">
              {(['chat', 'code'] as const).map((one, index, all) => (
                <button
                  key={one}
                  type="button"
                  role="tab"
                  id={`${id}-${one}`}
                  aria-controls={`${id}-panel`}
                  aria-selected={tab === one}
                  tabIndex={tab === one ? 0 : -1}
                  onClick={() => setTab(one)}
                  onKeyDown={(event) => {
                    if (event.key !== 'ArrowRight' && event.key !== 'ArrowLeft') return;
                    const other = all[1 - index]!;
                    setTab(other);
                    document.getElementById(`${id}-${other}`)?.focus();
                  }}
                >
                  {one === 'chat' ? 'Chat' : 'As code'}
                </button>
              ))}
            </div>
            {turns.length > 0 && (
              <button
                type="button"
                className="plain"
                onClick={() => {
                  running.current?.abort();
                  setTurns([]);
                  setSpoken([]);
                  field.current?.focus();
                }}
              >
                New conversation
              </button>
            )}
          </div>
          <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${tab}`} className="stack">
            {tab === 'code' ? (
              <>
                <p>
                  {last === undefined
                    ? 'The first call of this conversation, for a program:'
                    : 'The last call of this conversation, for a program:'}
                </p>
                <Snippets snippets={snippetsOf({ baseUrl: kept.baseUrl, key: kept.key }, last?.request ?? next)} />
              </>
            ) : (
              <>
                {turns.length === 0 && (
                  <p className="small">
                    What you write goes to the model with your key, as a call of a program would. This page keeps it
                    until you leave it.
                  </p>
                )}
                {turns.map((turn) => (
                  <OneTurn key={turn.id} turn={turn} onAgain={isRunning ? null : () => again(turn)} />
                ))}
                <form
                  className="stack"
                  noValidate
                  onSubmit={(event) => {
                    event.preventDefault();
                    void send();
                  }}
                >
                  <label className="field">
                    Your message
                    <textarea
                      ref={field}
                      rows={3}
                      value={draft}
                      maxLength={MESSAGE_CHARACTERS_MAX}
                      aria-invalid={mistake !== null}
                      aria-describedby={`${id}-hint`}
                      onInput={({ currentTarget }) => {
                        setDraft(currentTarget.value.slice(0, MESSAGE_CHARACTERS_MAX));
                        setMistake(null);
                      }}
                      onKeyDown={(event) => {
                        if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
                        event.preventDefault();
                        void send();
                      }}
                    />
                  </label>
                  {mistake !== null && (
                    <span className="error" role="alert">
                      {mistake}
                    </span>
                  )}
                  {full !== null && (
                    <p className="error" role="status">
                      {full}
                    </p>
                  )}
                  <div className="row spread">
                    <span id={`${id}-hint`} className="small">
                      Enter sends, Shift and Enter begin a new line.
                    </span>
                    {isRunning ? (
                      <button type="button" className="button danger" onClick={stop}>
                        Stop
                      </button>
                    ) : (
                      <button type="submit" className="button" aria-disabled={full !== null}>
                        Send
                      </button>
                    )}
                  </div>
                </form>
                <div ref={end} />
              </>
            )}
          </div>
          <div className="unseen" role="log" aria-live="polite" aria-label="Answer">
            {spoken.map(({ id: key, text }) => (
              <p key={key}>{text}</p>
            ))}
          </div>
        </div>
      )}
    </Frame>
  );
}

function Settings({
  wish,
  models,
  onChange,
}: {
  wish: Wish;
  models: readonly string[];
  onChange: (wish: Wish) => void;
}): ReactNode {
  return (
    <div className="settings">
      <label className="field">
        Model
        <select value={wish.model} onChange={({ currentTarget }) => onChange({ ...wish, model: currentTarget.value })}>
          {models.map((model) => (
            <option key={model} value={model}>
              {model}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        Max tokens
        <input
          type="text"
          inputMode="numeric"
          placeholder="no wish"
          autoComplete="off"
          value={wish.maxTokens ?? ''}
          onInput={({ currentTarget }) => {
            const digits = currentTarget.value.replaceAll(/\D/g, '').replace(/^0+/, '').slice(0, MAX_TOKENS_DIGITS);
            currentTarget.value = digits;
            onChange({ ...wish, maxTokens: digits === '' ? null : Number(digits) });
          }}
        />
      </label>
      <label className="field whole">
        System text
        <textarea
          rows={2}
          value={wish.system}
          placeholder="How the model should answer"
          maxLength={SYSTEM_CHARACTERS_MAX}
          onInput={({ currentTarget }) =>
            onChange({ ...wish, system: currentTarget.value.slice(0, SYSTEM_CHARACTERS_MAX) })
          }
        />
      </label>
    </div>
  );
}

createRoot(document.getElementById('app')!).render(<Page />);
