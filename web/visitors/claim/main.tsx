import '../../shared/pages.css';
import { useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import type { Challenge } from 'altcha-lib/types';
import type { ClaimAnswer, LinkPageState, LinkView } from '#libs/contracts/claims.js';
import { ask, type Fault, type FaultCode } from '../../shared/api.js';
import { groupCode, mistakeInCode } from '../../shared/claim.code.js';
import { forgetKey, keepKey, keptKeyOf, type KeptKey } from '../../shared/kept.keys.js';
import { Countdown, Elsewhere, Frame, Time, useEvent, useNow } from '../../shared/parts.js';
import { recordedWords } from '../../shared/recorded.js';
import { AppNote, Handing } from './app.js';
import { recallApp } from './app.query.js';
import { Claimer, type Phase } from './claimer.js';
import { Doing, EARLY_LOOK_MS, useEndOf } from './doing.js';
import { asksWho, Identify, WaitForm } from './identity.js';
import { AlreadyYours, Facts, Head, Minted, Said } from './parts.js';
import { AWAY, RECOVERING, refusalWords, STATE_WORDS, UNKNOWN } from './texts.js';

/** While the door is shut or the books are away the page looks so often, while somebody sees it. */
const LOOK_AGAIN_MS: Partial<Record<LinkPageState | 'away', number>> = {
  door_shut: 30_000,
  recovering: 5_000,
  away: 5_000,
};
const token = decodeURIComponent(location.pathname.split('/')[2] ?? '');
const isAppRecalled = recallApp(token);

/** The shell carries the state, so that nothing loads first. */
function shellState(): LinkView | null {
  if (isAppRecalled) return null;
  const text = document.getElementById('state')?.textContent;
  return text ? (JSON.parse(text) as LinkView | null) : null;
}

/** A printed QR code carries its code in the fragment, which no server sees. The address bar must not keep it. */
function takeCode(): string {
  const code = /^#code=([^&]*)/.exec(location.hash)?.[1];
  if (code === undefined) return '';
  history.replaceState(null, '', location.pathname + location.search);
  try {
    return groupCode(decodeURIComponent(code));
  } catch {
    return '';
  }
}

function Page(): ReactNode {
  const [view, setView] = useState(shellState);
  const [fault, setFault] = useState<Fault | null>(null);
  const [isSure, setSure] = useState(false);
  const lookAgain = useEvent(() => {
    void ask<LinkView>(`/claim/v1/links/${encodeURIComponent(token)}${location.search}`, {
      withCookie: true,
    }).then((answer) => {
      if (answer.ok) setView(answer.data);
      setFault(answer.ok ? null : answer.fault);
      setSure(true);
    });
  });
  const isAway = fault !== null && fault.code !== 'link_unknown';
  const state = isAway ? 'away' : view?.state;

  // The request for the shell has no cookie of the claim.
  const knowsNothing = fault === null && (view === null || (asksWho(view) && !isSure));
  useEffect(() => {
    if (knowsNothing) lookAgain();
  }, [knowsNothing, lookAgain]);
  const everyMs = state === undefined ? undefined : LOOK_AGAIN_MS[state];
  useEffect(() => {
    if (everyMs === undefined) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) lookAgain();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, lookAgain]);

  if (fault?.code === 'link_unknown')
    return (
      <Frame>
        <div className="card">
          <h1>Get a key</h1>
          <Said words={UNKNOWN} />
        </div>
      </Frame>
    );
  if (view === null)
    return (
      <Frame>
        <div className="card" aria-busy={fault === null}>
          <h1>Get a key</h1>
          {fault ? <Said words={fault.code === 'recovering' ? RECOVERING : AWAY} /> : <p>Looking for this link…</p>}
        </div>
      </Frame>
    );
  return <Link view={view} isAway={isAway} isSure={isSure} onChange={lookAgain} onRefused={setView} />;
}

/** What a refusal says about the link itself. */
const STATE_OF: Partial<Record<FaultCode, LinkPageState>> = {
  link_not_started: 'not_started',
  link_paused: 'paused',
  link_ended: 'ended',
  claims_exhausted: 'exhausted',
  paused: 'door_shut',
};

function Link({
  view,
  isAway,
  isSure,
  onChange,
  onRefused,
}: {
  view: LinkView;
  isAway: boolean;
  /** Whether the server has said who this browser is. */
  isSure: boolean;
  onChange: () => void;
  onRefused: (view: LinkView) => void;
}): ReactNode {
  const [kept, setKept] = useState<KeptKey | undefined>(() => keptKeyOf(view.token));
  const [claim, setClaim] = useState<ClaimAnswer | null>(null);
  const [isShown, setShown] = useState(false);
  const [isHanding, setHanding] = useState(false);
  const { page, state, app } = view;
  const isForApp = app !== null && app.refusal === null;

  const minted = (answer: ClaimAnswer): void => {
    const next: KeptKey = {
      key: answer.key,
      link: view.token,
      title: page.title,
      at: new Date().toISOString(),
      baseUrl: answer.base_url,
    };
    keepKey(next, false);
    setKept(next);
    setClaim(answer);
    if (isForApp) setHanding(true);
    else setShown(true);
  };
  const refused = ({ code, details }: Fault): boolean => {
    const now = STATE_OF[code];
    if (now === undefined) return false;
    const isBudget = code === 'claims_exhausted' && details.why === 'budget';
    const startsAt = typeof details.starts_at === 'string' ? details.starts_at : view.starts_at;
    const waitlist = details.waitlist === true;
    onRefused({ ...view, state: isBudget ? 'budget_gone' : now, starts_at: startsAt, waitlist });
    return true;
  };
  const forget = (): void => {
    forgetKey(kept!.key);
    setKept(undefined);
    setClaim(null);
    setShown(false);
    onChange();
  };

  const foot = (
    <>
      <a href={`/privacy?link=${encodeURIComponent(view.token)}`}>Privacy</a>
      {page.contact !== null && <Elsewhere to={page.contact}>Contact</Elsewhere>}
    </>
  );
  const act = { view, onMinted: minted, onRefused: refused, onChange };
  const isGone = state === 'exhausted' || state === 'budget_gone';
  if (kept && isShown)
    return (
      <Frame foot={foot}>
        <Minted view={view} claim={claim} kept={kept} onForget={forget} />
      </Frame>
    );
  return (
    <Frame foot={foot}>
      <div className="card">
        <Head page={page} />
        {app && !isHanding && <AppNote app={app} />}
        {app && kept && isHanding && (
          <Handing app={app} link={view.token} virtualKey={kept.key} onShow={() => setShown(true)} />
        )}
        {isForApp && kept && !isHanding && (
          <button type="button" className="button large" onClick={() => setHanding(true)}>
            Give {app.name} this key
          </button>
        )}
        {!kept && <Facts view={view} />}
        {kept && !isHanding && <AlreadyYours kept={kept} onShow={() => setShown(true)} onForget={forget} />}
        {!kept && state === 'open' && !asksWho(view) && <Open {...act} />}
        {!kept && state === 'open' && asksWho(view) && <Identify {...act} isSure={isSure} />}
        {!kept && state !== 'open' && <Closed view={view} state={state} onChange={onChange} />}
        {!kept && isGone && view.waitlist && <WaitForm token={view.token} />}
        {!kept && isGone && asksWho(view) && (
          <details open={view.signed_in !== null}>
            <summary>Lost your key?</summary>
            <Identify {...act} isSure={isSure} isLost />
          </details>
        )}
        {isAway && <Said words={AWAY} />}
      </div>
    </Frame>
  );
}

function Closed({
  view,
  state,
  onChange,
}: {
  view: LinkView;
  state: Exclude<LinkPageState, 'open'>;
  onChange: () => void;
}): ReactNode {
  const now = useNow();
  const startsAt = state === 'not_started' ? view.starts_at : null;
  const isDue = startsAt !== null && Date.parse(startsAt) <= now.getTime();
  useEffect(() => {
    if (!isDue) return undefined;
    const timer = setInterval(onChange, EARLY_LOOK_MS);
    return () => clearInterval(timer);
  }, [isDue, onChange]);
  return (
    <Said words={STATE_WORDS[state](view)} page={view.page}>
      {startsAt !== null && (
        <>
          <Countdown until={startsAt} onEnd={onChange} />
          <p>
            It begins on <Time at={startsAt} now={now} alone />.
          </p>
        </>
      )}
      {state === 'ended' && view.expires_at !== null && (
        <p>
          It ended on <Time at={view.expires_at} now={now} />.
        </p>
      )}
      {state === 'paused' && (
        <p>
          <button type="button" className="button quiet" onClick={onChange}>
            Look again
          </button>
        </p>
      )}
    </Said>
  );
}

function Open({
  view,
  onMinted,
  onRefused,
  onChange,
}: {
  view: LinkView;
  onMinted: (claim: ClaimAnswer) => void;
  /** True where the link itself has changed, so that the page shows that instead. */
  onRefused: (fault: Fault) => boolean;
  onChange: () => void;
}): ReactNode {
  const isCode = view.gates.includes('code');
  const [code, setCode] = useState(takeCode);
  const [mistake, setMistake] = useState<string | null>(null);
  const [phase, setPhase] = useState<Phase | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const claimer = useMemo(() => new Claimer(view.token), [view.token]);
  const isBusy = useRef(false);

  useEffect(() => {
    if (!isCode && view.challenge !== null) claimer.prepare(view.challenge as unknown as Challenge);
  }, [claimer, isCode, view.challenge]);
  useEffect(() => {
    const filled = (): void => setCode((before) => takeCode() || before);
    addEventListener('hashchange', filled);
    return () => removeEventListener('hashchange', filled);
  }, []);
  useEndOf(view, onChange);

  const press = async (): Promise<void> => {
    if (isBusy.current) return;
    const wrong = isCode ? mistakeInCode(code) : null;
    setMistake(wrong);
    if (wrong !== null) {
      field.current?.focus();
      return;
    }
    isBusy.current = true;
    setFault(null);
    const answer = await claimer.claim(isCode ? { code: code.replaceAll('-', '') } : null, setPhase);
    isBusy.current = false;
    setPhase(null);
    if (answer.ok) onMinted(answer.data);
    else if (!onRefused(answer.fault)) {
      setFault(answer.fault);
      if (answer.fault.code === 'code_invalid') field.current?.focus();
    }
  };
  const isWrongCode = mistake !== null || fault?.code === 'code_invalid';
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void press();
      }}
    >
      {isCode && (
        <label className="field">
          Your one-time code
          <input
            ref={field}
            className="code"
            type="text"
            name="code"
            value={code}
            placeholder="XXXX-XXXX-XXXX"
            autoComplete="one-time-code"
            autoCapitalize="characters"
            autoCorrect="off"
            spellCheck={false}
            aria-invalid={isWrongCode}
            aria-describedby={isWrongCode ? 'mistake' : undefined}
            onInput={({ currentTarget }) => {
              const isAtEnd = currentTarget.selectionStart === currentTarget.value.length;
              // Whoever corrects a character in the middle keeps the caret there.
              setCode(isAtEnd ? groupCode(currentTarget.value) : currentTarget.value.slice(0, 40));
              setMistake(null);
            }}
            onBlur={() => setCode(groupCode(code))}
          />
          {mistake !== null && (
            <span id="mistake" className="error" role="alert">
              {mistake}
            </span>
          )}
        </label>
      )}
      {fault && (
        <div id={mistake === null ? 'mistake' : undefined} role="alert">
          <Said words={refusalWords(fault, isCode)} page={fault.code === 'claim_refused' ? view.page : undefined} />
        </div>
      )}
      <button type="submit" className="button large" aria-disabled={phase !== null}>
        {phase === null ? 'Get my key' : 'Getting your key…'}
      </button>
      <Doing phase={phase} />
      <p className="small">
        No account needed. {recordedWords(view.recorded)}{' '}
        {view.page.privacy_url !== null && <Elsewhere to={view.page.privacy_url}>Privacy of the project</Elsewhere>}
      </p>
    </form>
  );
}

createRoot(document.getElementById('app')!).render(<Page />);
