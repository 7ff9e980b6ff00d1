import '../../shared/pages.css';
import type { ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import type { PrivacyView } from '#libs/contracts/claims.js';
import { Elsewhere, Frame, Notice } from '../../shared/parts.js';
import { INPUT_WORDS, keptFor, OUTPUT_WORDS, recordedOf } from './texts.js';

const { link, error } = JSON.parse(document.getElementById('state')!.textContent) as PrivacyView;

function Campaign({ of }: { of: NonNullable<PrivacyView['link']> }): ReactNode {
  const { recorded, contact, privacy_url } = of;
  return (
    <>
      <dl className="stack">
        <div>
          <dt>
            <strong>Your prompts are</strong>
          </dt>
          <dd>{INPUT_WORDS[recorded.input] ?? recorded.input}</dd>
        </div>
        <div>
          <dt>
            <strong>Answers are</strong>
          </dt>
          <dd>{OUTPUT_WORDS[recorded.output] ?? recorded.output}</dd>
        </div>
        <div>
          <dt>
            <strong>Both are kept</strong>
          </dt>
          <dd>{keptFor(of)}</dd>
        </div>
      </dl>
      {(privacy_url !== null || contact !== null) && (
        <p>
          {privacy_url !== null && <Elsewhere to={privacy_url}>The operator’s own privacy statement</Elsewhere>}
          {privacy_url !== null && contact !== null && ' · '}
          {contact !== null && (
            <>
              Contact: <Elsewhere to={contact}>{contact}</Elsewhere>
            </>
          )}
        </p>
      )}
    </>
  );
}

createRoot(document.getElementById('app')!).render(
  <Frame
    foot={
      <>
        {link && <a href={`/c/${encodeURIComponent(link.token)}`}>Back to the link</a>}
        <a href="/key">My key</a>
      </>
    }
  >
    <div className="card">
      <h1>What is recorded{link ? `: ${link.title || link.campaign}` : ''}</h1>
      {error === 'link_unknown' && (
        <Notice tone="warn" title="There is no such link.">
          <p>This page shows what holds for all links.</p>
        </Notice>
      )}
      {error === 'recovering' && (
        <Notice tone="warn" title="Nobody can read this link now.">
          <p>This page shows what holds for all links. Load it again in a moment for this one.</p>
        </Notice>
      )}
      {link && <Campaign of={link} />}
    </div>
    <div className="card">
      <h2>What Daypass keeps</h2>
      <dl className="stack">
        {recordedOf(link).map(({ what, how, howLong }) => (
          <div key={what}>
            <dt>
              <strong>{what}</strong>
            </dt>
            <dd>
              {how} {howLong}
            </dd>
          </div>
        ))}
      </dl>
    </div>
    <div className="card">
      <h2>Who else gets it</h2>
      <p>
        The provider of the model gets your prompts, with a made-up name for you. The service that checks texts gets the
        texts alone. Nobody gets your key or your address. This page loads nothing from another host.
      </p>
    </div>
    <div className="card">
      <h2>How you delete it</h2>
      <p>
        Open <a href="/key">your key</a> and choose “Delete my prompts and answers”. Then nobody can read them any more,
        the operator included. That you were here stays, without text. Where a refusal waits for a person to look at it,
        this happens after the review, at the latest in 30 days.
      </p>
    </div>
  </Frame>,
);
