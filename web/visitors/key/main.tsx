import '../../shared/pages.css';
import { useRef, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { hasEnded, KEY_WORDS, stateOf } from '../../shared/key.words.js';
import { forgetKey, isRemembered, keepKey, keptKeys, replaceKey, type KeptKey } from '../../shared/kept.keys.js';
import { Badge, Code, Elsewhere, Frame, Notice, Snippets, Time, useNow } from '../../shared/parts.js';
import { snippetsFor } from '../../shared/snippets.js';
import { mistakeIn, visiblePrefix } from '../../shared/virtual.key.js';
import { Acts } from './acts.js';
import { useCalls, useHeldKey } from '../../shared/held.key.js';
import { Balance, CallList, Refusals, State } from './parts.js';

function Page(): ReactNode {
  const [kept, setKept] = useState<KeptKey | undefined>(() => keptKeys()[0]);
  if (kept === undefined) return <Ask onKey={setKept} />;
  return (
    <Key
      key={kept.key}
      kept={kept}
      onOther={() => setKept(undefined)}
      onForget={() => {
        forgetKey(kept.key);
        setKept(keptKeys()[0]);
      }}
      onRotated={(next) => setKept({ ...kept, key: next })}
    />
  );
}

/** Asks for a key, and finds a mistyped one without asking anybody. */
function Ask({ onKey }: { onKey: (kept: KeptKey) => void }): ReactNode {
  const [typed, setTyped] = useState('');
  const [mistake, setMistake] = useState<string | null>(null);
  const [remember, setRemember] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const others = keptKeys();
  const show = (): void => {
    const key = typed.trim();
    const wrong = mistakeIn(key);
    setMistake(wrong);
    if (wrong !== null) {
      field.current?.focus();
      return;
    }
    const known = others.find((one) => one.key === key);
    const kept = known ?? { key, link: '', title: '', at: new Date().toISOString(), baseUrl: `${location.origin}/v1` };
    keepKey(kept, remember || isRemembered(key));
    onKey(kept);
  };
  return (
    <Frame>
      <div className="card">
        <h1>Your key</h1>
        <p>See what is left of it, what it may do, and every call that it made.</p>
        <form
          className="stack"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            show();
          }}
        >
          <label className="field">
            Paste your key
            <input
              ref={field}
              type="text"
              name="key"
              value={typed}
              placeholder="dp_…"
              autoComplete="off"
              autoCapitalize="none"
              autoCorrect="off"
              spellCheck={false}
              aria-invalid={mistake !== null}
              aria-describedby={mistake === null ? undefined : 'mistake'}
              onInput={({ currentTarget }) => {
                setTyped(currentTarget.value.slice(0, 200));
                setMistake(null);
              }}
            />
            {mistake !== null && (
              <span id="mistake" className="error" role="alert">
                {mistake}
              </span>
            )}
          </label>
          <div className="row spread">
            <label className="check">
              <input type="checkbox" checked={remember} onChange={() => setRemember(!remember)} />
              Remember on this device
            </label>
            <button type="submit" className="button">
              Show my key
            </button>
          </div>
        </form>
        <p className="small">
          The key goes to this service only. This browser forgets it with the tab, unless you let it remember.
        </p>
      </div>
      {others.length > 0 && (
        <div className="card">
          <h2>Keys of this browser</h2>
          <div className="row">
            {others.map((kept) => (
              <button key={kept.key} type="button" className="button quiet" onClick={() => onKey(kept)}>
                {visiblePrefix(kept.key)}… {kept.title}
              </button>
            ))}
          </div>
        </div>
      )}
    </Frame>
  );
}

function Key({
  kept,
  onOther,
  onForget,
  onRotated,
}: {
  kept: KeptKey;
  onOther: () => void;
  onForget: () => void;
  onRotated: (next: string) => void;
}): ReactNode {
  const now = useNow();
  /** A replaced key lives on in the dialog that shows it. The page takes it when that closes. */
  const [next, setNext] = useState<string | null>(null);
  const [remembered, setRemembered] = useState(() => isRemembered(kept.key));
  const secret = next ?? kept.key;
  const { view, fault, seenAt, refresh } = useHeldKey(secret);
  const newest = view?.recent_refusals?.[0];
  const calls = useCalls(secret, view === null ? null : `${view.spent_usd} ${view.held_usd} ${newest?.at ?? ''}`);

  const isUnknown = fault?.code === 'invalid_api_key';
  const bar = (
    <div className="row">
      <label className="check">
        <input
          type="checkbox"
          checked={remembered}
          onChange={() => {
            keepKey({ ...kept, key: secret }, !remembered);
            setRemembered(!remembered);
          }}
        />
        Remember on this device
      </label>
      <button type="button" className="plain" onClick={onForget}>
        Forget it
      </button>
      <button type="button" className="plain" onClick={onOther}>
        Another key
      </button>
    </div>
  );
  if (isUnknown)
    return (
      <Frame>
        <div className="card">
          <h1>
            <code>{visiblePrefix(secret)}…</code>
          </h1>
          <Notice tone="bad" title="Nobody here knows this key.">
            <p>
              It is well written, and yet this service has no such key. Perhaps it is from another one, or it was
              replaced.
            </p>
          </Notice>
          <div className="row">
            <button type="button" className="button" onClick={onForget}>
              Use another key
            </button>
          </div>
        </div>
      </Frame>
    );
  if (view === null)
    return (
      <Frame>
        <div className="card" aria-busy={fault === null}>
          <h1>
            <code>{visiblePrefix(secret)}…</code>
          </h1>
          {fault ? <Away code={fault.code} /> : <p>Looking for this key…</p>}
          {bar}
        </div>
      </Frame>
    );
  const words = KEY_WORDS[stateOf(view)];
  const title = view.title ?? (kept.title || view.campaign);
  const snippets = snippetsFor({ baseUrl: kept.baseUrl, key: secret, models: view.models, own: null });
  return (
    <Frame
      wide
      foot={
        <>
          <a href="/privacy">Privacy</a>
          <a href="/help">Errors</a>
        </>
      }
    >
      <div className="card">
        <div className="row spread">
          <div className="row">
            <h1>
              <code>{visiblePrefix(secret)}…</code>
            </h1>
            <Badge tone={words.tone}>{words.badge}</Badge>
            <span>{title}</span>
          </div>
          <div className="row">
            {view.project_url && (
              <Elsewhere className="button quiet" to={view.project_url}>
                Open the project
              </Elsewhere>
            )}
            {!hasEnded(view) && (
              <a className="button quiet" href="/play">
                Playground
              </a>
            )}
          </div>
        </div>
        {fault && (
          <Away code={fault.code}>
            {seenAt && (
              <p>
                What you see is from <Time at={seenAt.toISOString()} now={now} />.
              </p>
            )}
          </Away>
        )}
        <State view={view} now={now} onChange={refresh} />
        <Balance view={view} now={now} />
        {bar}
      </div>
      <Refusals refusals={view.recent_refusals ?? []} now={now} />
      <CallList
        secret={secret}
        list={calls}
        now={now}
        curl={
          hasEnded(view) ? (
            <p>This key made no call.</p>
          ) : (
            <>
              <p>No calls yet. This is the first one:</p>
              <Code label="First call" text={snippets.find(({ label }) => label === 'curl')!.text} />
            </>
          )
        }
      />
      {!hasEnded(view) && (
        <section className="card" aria-labelledby="use">
          <h2 id="use">Use it</h2>
          <Snippets snippets={snippets} />
        </section>
      )}
      <Acts
        secret={secret}
        view={view}
        onRotated={(fresh) => {
          replaceKey(secret, fresh);
          setNext(fresh);
        }}
        onDone={() => {
          if (next !== null) onRotated(next);
          else refresh();
        }}
      />
    </Frame>
  );
}

function Away({ code, children }: { code: string; children?: ReactNode }): ReactNode {
  return (
    <div role="status">
      <Notice
        tone="warn"
        title={code === 'recovering' ? 'The service is starting again.' : 'This page cannot reach the service.'}
      >
        <p>Your key and its money are safe. This page asks again by itself.</p>
        {children}
      </Notice>
    </div>
  );
}

createRoot(document.getElementById('app')!).render(<Page />);
