import { useEffect, useState, type ReactNode } from 'react';
import type { LinkView } from '#libs/contracts/claims.js';
import type { Fault } from '../../shared/api.js';
import { Notice } from '../../shared/parts.js';
import { forgetApp, handOver } from './app.query.js';

type App = NonNullable<LinkView['app']>;

/** Who sent the visitor, and what a press does. */
export function AppNote({ app }: { app: App }): ReactNode {
  if (app.refusal !== null)
    return (
      <Notice tone="bad" title="The app that sent you gets no key here.">
        <p>{app.refusal}</p>
        <p>You may still take a key for yourself.</p>
      </Notice>
    );
  return (
    <Notice tone="calm" title={`${app.name} asks for a key.`}>
      <p>One press, and you go back there. The app then spends the key’s budget for you.</p>
      {app.cancel_url !== null && (
        <p>
          <a href={app.cancel_url} onClick={forgetApp}>
            Go back without a key
          </a>
        </p>
      )}
    </Notice>
  );
}

/** Takes the key to the app. It begins by itself, because the visitor has pressed. */
export function Handing({ app, link, virtualKey, onShow }: HandingProps): ReactNode {
  const [fault, setFault] = useState<Fault | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    void handOver(link, virtualKey, 'app').then((answer) => {
      if (!answer.ok) return setFault(answer.fault);
      forgetApp();
      location.assign(answer.data.url);
    });
  }, [link, virtualKey, tries]);
  if (fault === null)
    return (
      <p role="status">
        Your key is ready. You are going back to <strong>{app.name}</strong>…
      </p>
    );
  return (
    <Notice tone="bad" title={`${app.name} did not get your key.`}>
      <p role="alert">{fault.message}</p>
      <div className="row">
        <button
          type="button"
          className="button"
          onClick={() => {
            setFault(null);
            setTries(tries + 1);
          }}
        >
          Try again
        </button>
        <button type="button" className="button quiet" onClick={onShow}>
          Show my key
        </button>
      </div>
    </Notice>
  );
}

interface HandingProps {
  app: App;
  link: string;
  virtualKey: string;
  onShow: () => void;
}

/** Opens the project with a one-time code, which lives a minute: so the page asks for it at the press. */
export function OpenProject({ link, virtualKey }: { link: string; virtualKey: string }): ReactNode {
  const [fault, setFault] = useState<Fault | null>(null);
  const open = async (): Promise<void> => {
    setFault(null);
    // After the answer a browser would take it for a window that nobody wanted.
    const opened = window.open('about:blank', '_blank');
    const answer = await handOver(link, virtualKey, 'project');
    if (!answer.ok) {
      opened?.close();
      setFault(answer.fault);
    } else (opened ?? window).location.assign(answer.data.url);
  };
  return (
    <>
      <button type="button" className="button quiet" onClick={() => void open()}>
        Open the project with this key
      </button>
      {fault && (
        <span className="error" role="alert">
          {fault.message}
        </span>
      )}
    </>
  );
}
