import { Button } from '@mantine/core';
import { useRef, useState } from 'react';
import { copyText } from '../../shared/copy.ts';
import { Icon } from './icon.tsx';

const SAID_MS = 2_500;

interface Props {
  text: string;
  /** What the button copies. */
  name: string;
  isBlock?: boolean;
  /** A long text stays out of sight until somebody wants it. */
  isFolded?: boolean;
}

/** A text that people take elsewhere, with a button that copies it. */
export function CopyField({ text, name, isBlock = false, isFolded = false }: Props) {
  const element = useRef<HTMLElement>(null);
  const [said, setSaid] = useState<string | null>(null);
  const copy = async (): Promise<void> => {
    // A browser without the clipboard API selects the text, which has to be visible for that.
    element.current!.closest('details')?.setAttribute('open', '');
    setSaid((await copyText(text, element.current!)) === 'copied' ? 'Copied' : 'Selected: press Ctrl+C');
    setTimeout(() => setSaid(null), SAID_MS);
  };
  return (
    <div className="copy-field" data-block={isBlock || undefined}>
      {isFolded ? (
        <details className="more">
          <summary>Show {name}</summary>
          <code ref={element}>{text}</code>
        </details>
      ) : (
        <code ref={element}>{text}</code>
      )}
      <Button
        variant="default"
        aria-label={`Copy ${name}`}
        leftSection={<Icon name={said === 'Copied' ? 'ok' : 'copy'} size={15} />}
        onClick={() => void copy()}
      >
        {said ?? 'Copy'}
      </Button>
      <output className="unseen">{said === null ? '' : `${name}: ${said}`}</output>
    </div>
  );
}
