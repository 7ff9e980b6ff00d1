import { useRef, type ReactNode } from 'react';
import { explain, helpPath } from '#libs/contracts/help.js';
import type { Fault } from '../../shared/api.js';
import { refusalAdvice } from '../../shared/key.words.js';
import { showUsd } from '../../shared/money.js';
import { Code, CopyButton, Notice } from '../../shared/parts.js';
import { duration } from '../../shared/time.js';
import { askedIn, isOver, type Turn } from './chat.js';
import { partsOf, placeWords, verdictWords } from './texts.js';

function Block({ text, language }: { text: string; language: string }): ReactNode {
  const shown = useRef<HTMLPreElement>(null);
  return (
    <div className="block">
      <div className="row spread">
        <span className="small">{language || 'code'}</span>
        <CopyButton text={text} shown={() => shown.current} label="Copy" className="plain" />
      </div>
      <Code text={text} label={`Code ${language}`.trim()} shown={shown} />
    </div>
  );
}

/** Text as it came: no part of it becomes markup. */
function Answer({ text }: { text: string }): ReactNode {
  return (
    <>
      {partsOf(text).map((part, index) =>
        part.is === 'code' ? (
          <Block key={index} text={part.text} language={part.language} />
        ) : (
          <p key={index} className="said">
            {part.text}
          </p>
        ),
      )}
    </>
  );
}

/** `onAgain`: puts what was asked back into the field; null: another answer is on its way. */
export function OneTurn({ turn, onAgain }: { turn: Turn; onAgain: (() => void) | null }): ReactNode {
  const { text, outcome, finish, place, fault } = turn;
  return (
    <article className="turn">
      <div className="asked">
        <h2 className="unseen">You</h2>
        <p className="said">{askedIn(turn)}</p>
      </div>
      <div className="answered stack" aria-busy={!isOver(turn)}>
        <h2 className="small">{turn.request.model}</h2>
        {outcome === 'waiting' && <p className="small">{place === null ? 'Waiting…' : placeWords(place)}</p>}
        <Answer text={text} />
        {finish === 'content_filter' && (
          <Notice tone="warn" title="Content moderation stopped this answer here.">
            <p>What the model wrote after this point was taken away. The call has cost money all the same.</p>
          </Notice>
        )}
        {finish === 'length' && <p className="small">The answer ends here, because it has reached its max tokens.</p>}
        {finish === 'too_long' && <p className="small">The answer is longer than this page shows. It hung up.</p>}
        {outcome === 'stopped' && finish !== 'too_long' && <p className="small">You stopped the answer here.</p>}
        {outcome === 'broken' && fault === null && (
          <Notice tone="bad" title="The connection broke before the answer ended.">
            <p>Look at the calls of your key before you send it again: it may have cost money.</p>
          </Notice>
        )}
        {fault !== null && <Refused fault={fault} />}
        {isOver(turn) && outcome !== 'done' && onAgain !== null && (
          <div>
            <button type="button" className="button quiet" onClick={onAgain}>
              Change it, and send again
            </button>
          </div>
        )}
        <FactsOf turn={turn} />
      </div>
    </article>
  );
}

function Refused({ fault }: { fault: Fault }): ReactNode {
  const { code, message, details, retryAfterMs, requestId } = fault;
  const isAway = code === 'offline' || code === 'unavailable' || code === 'unreadable';
  // A provider's own refusal may have no code at all.
  const name = String(code);
  return (
    <div role="alert">
      <Notice tone="bad" title={isAway ? message : explain(name).what}>
        {isAway ? <p>Send it again in a moment.</p> : <p>{refusalAdvice({ at: '', code: name, details })}</p>}
        {retryAfterMs !== null && <p>It can succeed in {duration(Math.ceil(retryAfterMs / 1_000))}.</p>}
        {!isAway && (
          <>
            <p className="small">{message}</p>
            <p className="small">
              <a href={helpPath(name)}>
                <code>{code === null ? 'What this means' : name}</code>
              </a>
              {requestId !== null && (
                <>
                  {' · request '}
                  <code>{requestId}</code>
                </>
              )}
            </p>
          </>
        )}
      </Notice>
    </div>
  );
}

const milliseconds = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);

/** What the call cost, and how it went. */
function FactsOf({ turn }: { turn: Turn }): ReactNode {
  const { costUsd, leftUsd, waitedMs, verdicts, tokens } = turn.facts;
  if (!isOver(turn) || turn.facts.requestId === null || turn.outcome === 'refused') return null;
  return (
    <dl className="facts of-call">
      <div>
        <dt>Cost</dt>
        <dd>{costUsd === null ? <a href="/key">soon in your calls</a> : showUsd(costUsd, 6)}</dd>
      </div>
      <div>
        <dt>Left</dt>
        <dd>{leftUsd === null ? '–' : showUsd(leftUsd)}</dd>
      </div>
      <div>
        <dt>Waited</dt>
        <dd>{waitedMs === null ? '–' : milliseconds(waitedMs)}</dd>
      </div>
      {tokens !== null && (
        <div>
          <dt>Tokens in / out</dt>
          <dd>
            {tokens.in.toLocaleString('en')} / {tokens.out.toLocaleString('en')}
          </dd>
        </div>
      )}
      {verdicts !== null && (
        <div className="wide">
          <dt>Checked</dt>
          <dd>
            you: {verdictWords(verdicts.input)}
            <br />
            answer: {verdictWords(verdicts.output)}
          </dd>
        </div>
      )}
    </dl>
  );
}
