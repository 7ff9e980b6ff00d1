import { useEffect, useId, useMemo, useRef, useState, type ReactNode } from 'react';
import type { ClaimAnswer, LinkView } from '#libs/contracts/claims.js';
import { ask, type Fault } from '../../shared/api.js';
import { Elsewhere, Notice, Time, useNow } from '../../shared/parts.js';
import { recordedWords } from '../../shared/recorded.js';
import { Claimer, type Phase } from './claimer.js';
import { Doing, useEndOf } from './doing.js';
import { Said } from './parts.js';
import { identityWords, SIGN_IN_ENDS, type Words } from './texts.js';

/** Whether the link asks who claims. */
export const asksWho = ({ gates }: LinkView): boolean => gates.includes('github') || gates.includes('email');

interface Filled {
  email: string;
  code: string;
  /** How a sign-in with GitHub ended. */
  github: string | null;
}

/** A mail's link has address and code behind the #, which no server sees. The address bar must not keep them. */
function takeFilled(): Filled {
  const given = new URLSearchParams(location.hash.slice(1));
  const [email, code, github] = [given.get('email'), given.get('email_code'), given.get('github')];
  if (email !== null || code !== null || github !== null)
    history.replaceState(null, '', location.pathname + location.search);
  return { email: (email ?? '').slice(0, 320), code: digitsOf(code ?? ''), github };
}

const CODE_LENGTH = 6;
const digitsOf = (typed: string): string => typed.replaceAll(/\D/g, '').slice(0, CODE_LENGTH);
/** The server knows better. This finds what nobody meant. */
const isAddress = (typed: string): boolean => /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(typed.trim());

interface Props {
  view: LinkView;
  /** The server has said whether this browser is signed in. */
  isSure: boolean;
  /** No key is left: whoever lost one gets another virtual key for it, and that is all. */
  isLost?: boolean;
  onMinted: (claim: ClaimAnswer) => void;
  /** True where the link itself has changed, so that the page shows that instead. */
  onRefused: (fault: Fault) => boolean;
  onChange: () => void;
}

/** A claim by whoever signs in: with GitHub, or by a code that a mail brings. */
export function Identify({ view, isSure, isLost = false, onMinted, onRefused, onChange }: Props): ReactNode {
  const [filled, setFilled] = useState(takeFilled);
  const [phase, setPhase] = useState<Phase | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const claimer = useMemo(() => new Claimer(view.token), [view.token]);
  const isBusy = useRef(false);
  const isGithub = view.gates.includes('github');
  useEndOf(view, onChange);
  useEffect(() => {
    const changed = (): void => {
      const next = takeFilled();
      if (next.email !== '' || next.github !== null) setFilled(next);
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);

  const run = async (work: (tell: (phase: Phase) => void) => ReturnType<Claimer['claim']>): Promise<void> => {
    if (isBusy.current) return;
    isBusy.current = true;
    setFault(null);
    const answer = await work(setPhase);
    isBusy.current = false;
    setPhase(null);
    if (answer.ok) onMinted(answer.data);
    else if (!onRefused(answer.fault)) {
      setFault(answer.fault);
      // Right digits have signed the browser in, and an old sign-in may be over.
      if (answer.fault.code !== 'code_invalid') onChange();
    }
  };
  const claim = (by: { email?: string; email_code?: string }): void =>
    void run((tell) => (isLost ? claimer.replace(by, tell) : claimer.claim(by, tell)));
  const signOut = async (): Promise<void> => {
    await ask('/claim/v1/sign-out', { method: 'POST', withCookie: true });
    setFault(null);
    setFilled({ email: '', code: '', github: null });
    onChange();
  };

  const who = view.signed_in;
  const end = who === null && filled.github !== null ? SIGN_IN_ENDS[filled.github] : undefined;
  const isReplaceable = fault?.code === 'already_claimed' && fault.details.replaceable === true;
  const said = fault ? identityWords(fault) : end;
  return (
    <div className="stack">
      {said && (
        <div role="alert">
          <Said words={said} page={fault?.code === 'claim_refused' ? view.page : undefined}>
            {fault?.code === 'already_claimed' && <Claimed details={fault.details} />}
          </Said>
        </div>
      )}
      {!isSure && <p role="status">Looking who you are…</p>}
      {isSure && who !== null && (
        <>
          <p className="row">
            <span>
              Signed in as <strong>{who.label}</strong>
            </span>
            <button type="button" className="plain" onClick={() => void signOut()}>
              Not you?
            </button>
          </p>
          {isReplaceable ? (
            <Press
              words={['Replace my key', 'Replacing your key…']}
              phase={phase}
              press={() => void run((tell) => claimer.replace({}, tell))}
            >
              <p className="small">The key that you had stops working at once. What is left of its budget stays.</p>
            </Press>
          ) : (
            <Press words={wordsOf(isLost)} phase={phase} press={() => claim({})} />
          )}
        </>
      )}
      {isSure && who === null && isGithub && <WithGithub view={view} />}
      {isSure && who === null && !isGithub && (
        <ByMail
          key={filled.code}
          view={view}
          filled={filled}
          phase={phase}
          words={wordsOf(isLost)}
          isWrong={fault?.code === 'code_invalid'}
          forgetFault={() => setFault(null)}
          claim={(email, email_code) => claim({ email, email_code })}
        />
      )}
      <Doing phase={phase} />
      {!isLost && (
        <p className="small">
          Daypass keeps a fingerprint of your {isGithub ? 'account' : 'address'}, so that everybody gets a fair share.{' '}
          {recordedWords(view.recorded)}{' '}
          {view.page.privacy_url !== null && <Elsewhere to={view.page.privacy_url}>Privacy of the project</Elsewhere>}
        </p>
      )}
    </div>
  );
}

const wordsOf = (isLost: boolean): [string, string] =>
  isLost ? ['Replace my key', 'Replacing your key…'] : ['Get my key', 'Getting your key…'];

function Press({
  words: [rest, doing],
  phase,
  press,
  children,
}: {
  words: [string, string];
  phase: Phase | null;
  press: () => void;
  children?: ReactNode;
}): ReactNode {
  return (
    <>
      {children}
      <button type="button" className="button large" aria-disabled={phase !== null} onClick={press}>
        {phase === null ? rest : doing}
      </button>
    </>
  );
}

function Claimed({ details }: { details: Record<string, unknown> }): ReactNode {
  const now = useNow();
  const { claimed_at: at, prefix } = details;
  if (typeof at !== 'string') return null;
  return (
    <p>
      Claimed on <Time at={at} now={now} />
      {typeof prefix === 'string' && (
        <>
          , <code>{prefix}…</code>
        </>
      )}
    </p>
  );
}

function WithGithub({ view }: { view: LinkView }): ReactNode {
  const days = view.github.min_account_age_days;
  return (
    <>
      <a className="button large" href={`/claim/v1/github/start?link=${encodeURIComponent(view.token)}`}>
        Continue with GitHub
      </a>
      <p className="small">
        GitHub tells Daypass the name, the number and the age of your account, and nothing else.
        {days > 0 && ` The account has to be at least ${days} ${days === 1 ? 'day' : 'days'} old.`}
      </p>
    </>
  );
}

interface Sent {
  email: string;
  minutes: number;
}

function ByMail({
  view,
  filled,
  phase,
  words,
  isWrong,
  forgetFault,
  claim,
}: {
  view: LinkView;
  filled: Filled;
  phase: Phase | null;
  words: [string, string];
  isWrong: boolean;
  forgetFault: () => void;
  claim: (email: string, code: string) => void;
}): ReactNode {
  const [email, setEmail] = useState(filled.email);
  const [code, setCode] = useState(filled.code);
  const [sent, setSent] = useState<Sent | null>(filled.code === '' ? null : { email: filled.email, minutes: 0 });
  const [mistake, setMistake] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<Words | null>(null);
  const [isSending, setSending] = useState(false);
  const digits = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => {
    if (sent !== null) digits.current?.focus();
  }, [sent]);
  useEffect(() => {
    if (isWrong) digits.current?.focus();
  }, [isWrong]);

  const send = async (): Promise<void> => {
    if (isSending) return;
    const wrong = isAddress(email) ? foreignDomain(email, view.email.domains) : 'Enter your e-mail address.';
    setMistake(wrong);
    setRefusal(null);
    if (wrong !== null) return;
    forgetFault();
    setSending(true);
    const answer = await ask<{ minutes: number }>(`/claim/v1/links/${encodeURIComponent(view.token)}/email`, {
      method: 'POST',
      body: { email: email.trim() },
    });
    setSending(false);
    if (!answer.ok) {
      setRefusal(identityWords(answer.fault));
      return;
    }
    setCode('');
    setSent({ email: email.trim(), minutes: answer.data.minutes });
  };
  const press = (): void => {
    const wrong = code.length === CODE_LENGTH ? null : `The code has ${CODE_LENGTH} digits. It stands in the mail.`;
    setMistake(wrong);
    if (wrong === null) claim(sent!.email, code);
    else digits.current?.focus();
  };

  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (sent === null) void send();
        else if (phase === null) press();
      }}
    >
      {sent === null ? (
        <label className="field">
          Your e-mail address
          <input
            type="email"
            name="email"
            value={email}
            maxLength={320}
            autoComplete="email"
            autoCapitalize="off"
            spellCheck={false}
            aria-invalid={mistake !== null}
            aria-describedby={mistake === null ? undefined : id}
            onInput={({ currentTarget }) => {
              setEmail(currentTarget.value);
              setMistake(null);
            }}
          />
          {mistake !== null && <Mistake id={id} text={mistake} />}
        </label>
      ) : (
        <>
          {sent.minutes > 0 && (
            <Notice tone="calm" title="Look into your mailbox.">
              <p>
                If {sent.email} may claim, a mail with six digits is on its way. They work for {sent.minutes} minutes.
                One address gets at most three mails a day.
              </p>
            </Notice>
          )}
          <label className="field">
            The code for {sent.email}
            <input
              ref={digits}
              className="code"
              type="text"
              name="code"
              value={code}
              inputMode="numeric"
              placeholder="000000"
              autoComplete="one-time-code"
              aria-invalid={mistake !== null || isWrong}
              aria-describedby={mistake === null ? undefined : id}
              onInput={({ currentTarget }) => {
                setCode(digitsOf(currentTarget.value));
                setMistake(null);
              }}
            />
            {mistake !== null && <Mistake id={id} text={mistake} />}
          </label>
        </>
      )}
      {refusal && (
        <div role="alert">
          <Said words={refusal} />
        </div>
      )}
      <button type="submit" className="button large" aria-disabled={phase !== null || isSending}>
        {sent === null ? (isSending ? 'Sending…' : 'Send me a code') : words[phase === null ? 0 : 1]}
      </button>
      {sent !== null && (
        <div className="row">
          <button type="button" className="plain" aria-disabled={isSending} onClick={() => void send()}>
            Send another code
          </button>
          <button
            type="button"
            className="plain"
            onClick={() => {
              forgetFault();
              setMistake(null);
              setSent(null);
            }}
          >
            Another address
          </button>
        </div>
      )}
    </form>
  );
}

const Mistake = ({ id, text }: { id: string; text: string }): ReactNode => (
  <span id={id} className="error" role="alert">
    {text}
  </span>
);

/** The server sends no mail to others, and does not say so. */
function foreignDomain(email: string, domains: readonly string[]): string | null {
  const domain = email
    .trim()
    .slice(email.trim().lastIndexOf('@') + 1)
    .toLowerCase();
  if (domains.length === 0 || domains.includes(domain)) return null;
  return `Only addresses of ${domains.join(', ')} get a key from this link.`;
}

/** An address for when a key is free again. */
export function WaitForm({ token }: { token: string }): ReactNode {
  const [email, setEmail] = useState('');
  const [mistake, setMistake] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<Words | null>(null);
  const [step, setStep] = useState<'asking' | 'sending' | 'waiting'>('asking');
  const id = useId();
  const send = async (): Promise<void> => {
    if (step === 'sending') return;
    setMistake(isAddress(email) ? null : 'Enter your e-mail address.');
    setRefusal(null);
    if (!isAddress(email)) return;
    setStep('sending');
    const answer = await ask(`/claim/v1/links/${encodeURIComponent(token)}/waitlist`, {
      method: 'POST',
      body: { email: email.trim() },
    });
    setStep(answer.ok ? 'waiting' : 'asking');
    if (!answer.ok) setRefusal(identityWords(answer.fault));
  };
  if (step === 'waiting')
    return (
      <div role="status">
        <Notice tone="good" title="You are on the list.">
          <p>You get one mail when the operator has a key for you. Nobody else gets your address.</p>
        </Notice>
      </div>
    );
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label className="field">
        Your e-mail address, for when there are keys again
        <input
          type="email"
          name="email"
          value={email}
          maxLength={320}
          autoComplete="email"
          aria-invalid={mistake !== null}
          aria-describedby={mistake === null ? undefined : id}
          onInput={({ currentTarget }) => {
            setEmail(currentTarget.value);
            setMistake(null);
          }}
        />
        {mistake !== null && <Mistake id={id} text={mistake} />}
      </label>
      {refusal && (
        <div role="alert">
          <Said words={refusal} />
        </div>
      )}
      <button type="submit" className="button quiet" aria-disabled={step === 'sending'}>
        {step === 'sending' ? 'Sending…' : 'Tell me'}
      </button>
    </form>
  );
}
