import { useRef, useState, type ReactNode } from 'react';
import type { HeldKey, RotatedKey } from '#libs/contracts/held-key.js';
import { ask, isPassing, persist, type Answer, type Fault } from '../../shared/api.js';
import { CopyButton, Dialog } from '../../shared/parts.js';
import { visiblePrefix } from '../../shared/virtual.key.js';
import { hasEnded } from '../../shared/key.words.js';

type Act = 'rotate' | 'revoke' | 'erase';

interface ActWords {
  button: string;
  title: string;
  says: string[];
  confirm: string;
  done: string;
}

interface Done extends Partial<RotatedKey> {
  /** The texts go at the latest then. */
  due_at?: string | null;
}

/** Who deletes waits for running calls to end. */
const TIMEOUT_MS = 20_000;
const REVIEWED_FIRST =
  'Your key has ended. Your texts wait for a review: they are deleted after it, at the latest in 30 days.';
const LOST_REPLACEMENT =
  'Nobody knows whether your key was replaced. If it works no more, ask whoever gave it to you for a new one.';

const WORDS: Readonly<Record<Act, ActWords>> = {
  rotate: {
    button: 'Replace key',
    title: 'Replace this key?',
    says: [
      'You get a new key with the same budget, the same time and the same calls.',
      'The key that you have now stops at once, wherever it is used. Use this where somebody else saw your key.',
    ],
    confirm: 'Replace it',
    done: 'This is your new key. The one before works no more.',
  },
  revoke: {
    button: 'End this key',
    title: 'End this key?',
    says: [
      'The key stops at once, and nobody can start it again. Running calls still end.',
      'What is left of its budget goes back to the project. Your calls stay visible here.',
    ],
    confirm: 'End it',
    done: 'Your key has ended.',
  },
  erase: {
    button: 'Delete my prompts and answers',
    title: 'Delete your prompts and answers?',
    says: [
      'Every text that you sent and got becomes unreadable for ever, also for the operator. Nobody can undo this.',
      'Your key ends at once, and with it every other key that you got as the same person.',
      'That you were here, when, and what it cost stays on record, without any text.',
      'Where a refused text of yours waits for a review, the texts go after the review, at the latest in 30 days.',
    ],
    confirm: 'Delete them',
    done: 'Your prompts and answers are deleted, and your key has ended.',
  },
};

/** Replaces the key, ends it, or deletes what was said with it: each after a dialog that says what happens. */
export function Acts({
  secret,
  view,
  onRotated,
  onDone,
}: {
  secret: string;
  view: HeldKey;
  onRotated: (next: string) => void;
  onDone: () => void;
}): ReactNode {
  const [act, setAct] = useState<Act | null>(null);
  const isLive = !hasEnded(view);
  return (
    <section className="card" aria-labelledby="acts">
      <h2 id="acts">Your key, your data</h2>
      <div className="row">
        {isLive && (
          <>
            <ActButton act="rotate" onOpen={setAct} />
            <ActButton act="revoke" onOpen={setAct} />
          </>
        )}
        <ActButton act="erase" onOpen={setAct} />
      </div>
      {act !== null && (
        <ActDialog
          act={act}
          secret={secret}
          onRotated={onRotated}
          onClose={() => {
            setAct(null);
            onDone();
          }}
        />
      )}
    </section>
  );
}

const ActButton = ({ act, onOpen }: { act: Act; onOpen: (act: Act) => void }): ReactNode => (
  <button type="button" className={act === 'rotate' ? 'button quiet' : 'button danger'} onClick={() => onOpen(act)}>
    {WORDS[act].button}
  </button>
);

function ActDialog({
  act,
  secret,
  onRotated,
  onClose,
}: {
  act: Act;
  secret: string;
  onRotated: (next: string) => void;
  onClose: () => void;
}): ReactNode {
  const { title, says, confirm, done } = WORDS[act];
  const isBusy = useRef(false);
  const [isDoing, setDoing] = useState(false);
  const [isWaiting, setWaiting] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const [said, setSaid] = useState<string | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const shown = useRef<HTMLElement>(null);
  const go = async (): Promise<void> => {
    if (isBusy.current) return;
    isBusy.current = true;
    setDoing(true);
    setFault(null);
    const send = (): Promise<Answer<Done>> =>
      ask<Done>(`/v1/key/${act}`, { method: 'POST', key: secret, body: {}, timeoutMs: TIMEOUT_MS });
    // A second replacement under the same key would fail, and hide that the first one worked.
    const answer = act === 'rotate' ? await send() : await persist(send, () => setWaiting(true));
    isBusy.current = false;
    setDoing(false);
    setWaiting(false);
    if (answer.ok) {
      setSaid(answer.data.due_at ? REVIEWED_FIRST : done);
      if (answer.data.key !== undefined) taken(answer.data.key);
    } else if (typeof answer.fault.details.key === 'string') {
      setSaid(answer.fault.message);
      setNext(answer.fault.details.key);
    } else if (act === 'revoke' && answer.fault.details.reason === 'revoked') setSaid(done);
    else setFault(answer.fault);
  };
  const taken = (key: string): void => {
    setNext(key);
    onRotated(key);
  };
  return (
    <Dialog title={said === null ? title : 'Done'} onClose={onClose}>
      {said === null ? says.map((line) => <p key={line}>{line}</p>) : <p role="status">{said}</p>}
      {next !== null && (
        <>
          <code className="secret" ref={shown}>
            {next}
          </code>
          <CopyButton text={next} shown={() => shown.current} label="Copy key" />
        </>
      )}
      {isWaiting && <p role="status">No answer yet. This page asks again.</p>}
      {fault !== null && (
        <p className="error" role="alert">
          {fault.message} {fault.requestId !== null && `(request ${fault.requestId})`}
          {act === 'rotate' && isPassing(fault) && ` ${LOST_REPLACEMENT}`}
        </p>
      )}
      <div className="row">
        {/* The first button has the focus: a stray Enter ends nothing. */}
        <button type="button" className="button quiet" onClick={onClose}>
          {said === null ? 'Cancel' : 'Close'}
        </button>
        {said === null && (
          <button
            type="button"
            className={act === 'rotate' ? 'button' : 'button danger'}
            aria-disabled={isDoing}
            onClick={() => void go()}
          >
            {isDoing ? 'One moment…' : confirm}
          </button>
        )}
      </div>
      {said === null && <p className="small">Key {visiblePrefix(secret)}…</p>}
    </Dialog>
  );
}
