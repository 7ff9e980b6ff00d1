import { useEffect, useRef, useState, type ReactNode } from 'react';
import type { ClaimAnswer, ClaimPage, LinkView } from '#libs/contracts/claims.js';
import { isRemembered, keepKey, type KeptKey } from '../../shared/kept.keys.js';
import { showUsd } from '../../shared/money.js';
import { CopyButton, Dialog, Elsewhere, Models, Notice, Snippets, Time, useNow } from '../../shared/parts.js';
import { snippetsFor } from '../../shared/snippets.js';
import { duration } from '../../shared/time.js';
import { OpenProject } from './app.js';
import { lifeWords } from './texts.js';
import type { Words } from './texts.js';

export function Head({ page }: { page: ClaimPage }): ReactNode {
  return (
    <>
      <div className="head">
        {page.logo?.startsWith('data:image/') && <img src={page.logo} alt="" />}
        <h1>{page.title}</h1>
      </div>
      {page.text !== '' && <p className="text">{page.text}</p>}
    </>
  );
}

/** What a key of the link is worth. */
export function Facts({ view }: { view: LinkView }): ReactNode {
  const { key, models, short_chats, left, max_claims } = view;
  return (
    <dl className="facts">
      <div>
        <dt>Budget</dt>
        <dd>
          {showUsd(key.budget_usd)}
          {short_chats !== null && <div className="small">about {short_chats.toLocaleString('en')} short chats</div>}
        </dd>
      </div>
      <div>
        <dt>Time</dt>
        <dd>{lifeWords(key.ttl_seconds)}</dd>
      </div>
      <div className="wide">
        <dt>Models</dt>
        <dd>
          <Models names={models} />
        </dd>
      </div>
      {view.state === 'open' && (
        <div>
          <dt>Keys left</dt>
          <dd>
            {left.toLocaleString('en')} of {max_claims.toLocaleString('en')}
          </dd>
        </div>
      )}
    </dl>
  );
}

/** Where to turn where the link gives nothing. */
export function Ways({ page }: { page: ClaimPage }): ReactNode {
  if (page.contact === null && page.project_url === null) return null;
  return (
    <p className="row">
      {page.project_url !== null && (
        <Elsewhere className="button quiet" to={page.project_url}>
          Visit the project
        </Elsewhere>
      )}
      {page.contact !== null && (
        <span>
          Contact: <Elsewhere to={page.contact}>{page.contact}</Elsewhere>
        </span>
      )}
    </p>
  );
}

export function Said({
  words,
  page,
  children,
}: {
  words: Words;
  page?: ClaimPage | undefined;
  children?: ReactNode;
}): ReactNode {
  return (
    <>
      <Notice tone={words.tone} title={words.title}>
        <p>{words.text}</p>
        {children}
      </Notice>
      {page && <Ways page={page} />}
    </>
  );
}

/** The device has a key of this link already. */
export function AlreadyYours({
  kept,
  onShow,
  onForget,
}: {
  kept: KeptKey;
  onShow: () => void;
  onForget: () => void;
}): ReactNode {
  const now = useNow();
  const [isForgetting, setForgetting] = useState(false);
  return (
    <>
      <Notice tone="good" title="You have a key from this link.">
        <p>
          Claimed here on <Time at={kept.at} now={now} />, <code>{kept.key.slice(0, 9)}…</code>
        </p>
      </Notice>
      <div className="row">
        <a className="button" href="/key">
          Show what is left
        </a>
        <button type="button" className="button quiet" onClick={onShow}>
          Show my key
        </button>
        <button type="button" className="plain" onClick={() => setForgetting(true)}>
          Forget it
        </button>
      </div>
      {isForgetting && <Forget onClose={() => setForgetting(false)} onForget={onForget} />}
    </>
  );
}

function Forget({ onClose, onForget }: { onClose: () => void; onForget: () => void }): ReactNode {
  return (
    <Dialog title="Forget this key?" onClose={onClose}>
      <p>This browser forgets the key. The key itself still works for whoever has it.</p>
      <p>Daypass keeps no copy: if you have not saved the key elsewhere, it is lost.</p>
      <div className="row">
        <button type="button" className="button quiet" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className="button danger" onClick={onForget}>
          Forget it
        </button>
      </div>
    </Dialog>
  );
}

/** The key, which the page shows and nobody keeps. */
export function Minted({
  view,
  claim,
  kept,
  onForget,
}: {
  view: LinkView;
  claim: ClaimAnswer | null;
  kept: KeptKey;
  onForget: () => void;
}): ReactNode {
  const now = useNow();
  const heading = useRef<HTMLHeadingElement>(null);
  const shown = useRef<HTMLElement>(null);
  const [remember, setRemember] = useState(() => isRemembered(kept.key));
  const [isForgetting, setForgetting] = useState(false);
  useEffect(() => heading.current?.focus(), []);
  const takesCode = view.page.open_url?.includes('{code}') === true;
  const project = claim?.open_url ?? view.page.project_url;
  const toggle = (): void => {
    keepKey(kept, !remember);
    setRemember(!remember);
  };
  return (
    <>
      <div className="card">
        <div className="stack">
          <div className="row spread">
            <h1 ref={heading} tabIndex={-1}>
              <span aria-hidden="true">✓ </span>Your key
            </h1>
            <span className="small">shown here only: copy it now</span>
          </div>
          <code className="secret" ref={shown}>
            {kept.key}
          </code>
          <div className="row">
            <CopyButton text={kept.key} shown={() => shown.current} label="Copy key" />
            {takesCode && <OpenProject link={kept.link} virtualKey={kept.key} />}
            {!takesCode && project !== null && (
              <Elsewhere className="button quiet" to={project}>
                Open the project
              </Elsewhere>
            )}
            <a className="button quiet" href="/play">
              Playground
            </a>
          </div>
        </div>
        <p className="row">
          {claim && (
            <span>
              <strong>{showUsd(claim.budget_usd)}</strong> left
              {' · '}
              {claim.expires_at !== null && (
                <>
                  until <Time at={claim.expires_at} now={now} />
                </>
              )}
              {claim.expires_at === null &&
                (view.key.ttl_seconds === null
                  ? 'no end'
                  : `${duration(view.key.ttl_seconds)} from your first call on`)}
            </span>
          )}
          <a className="whole" href="/key">
            balance and calls
          </a>
        </p>
        <div className="row">
          <label className="check">
            <input type="checkbox" checked={remember} onChange={toggle} />
            Remember on this device
          </label>
          <button type="button" className="plain" onClick={() => setForgetting(true)}>
            Forget
          </button>
        </div>
      </div>
      <div className="card">
        <h2>Use it</h2>
        <Snippets
          snippets={snippetsFor({
            baseUrl: kept.baseUrl,
            key: kept.key,
            models: claim?.models ?? view.models,
            own: view.page.snippet,
          })}
        />
      </div>
      {isForgetting && <Forget onClose={() => setForgetting(false)} onForget={onForget} />}
    </>
  );
}
