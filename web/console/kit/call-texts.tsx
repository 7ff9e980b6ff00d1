import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import { write } from '../api/client.ts';
import { FaultNote } from './fault-note.tsx';
import { judgedWords, saidIn } from './said.ts';

const GONE = {
  erased: 'The texts are erased with their visitor. Nobody can read them again.',
  expired: 'The texts are older than their campaign keeps them. They are deleted.',
  none: 'No text was kept of this call.',
} as const;

/** Shows a call's texts. They stay in this page until it is left: a look is an act on record. */
export function useOpening(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationKey: ['open', id],
    mutationFn: (reason: string) =>
      write<RequestView>('POST', `/requests/${id}/open`, reason.trim() === '' ? {} : { reason: reason.trim() }),
    // The act is on the list of acts now.
    onSuccess: () => client.invalidateQueries({ queryKey: ['list', '/acts'] }),
  });
}
export type Opening = ReturnType<typeof useOpening>;

export function CallTexts({ call, opening, reason = '' }: { call: RequestView; opening: Opening; reason?: string }) {
  const shown = opening.data?.id === call.id ? opening.data : undefined;
  const texts = shown?.texts ?? call.texts;
  if (texts === 'erased' || texts === 'expired' || texts === 'none') return <p className="gone">{GONE[texts]}</p>;
  if (shown === undefined || texts === 'kept') {
    return (
      <div className="opening">
        <Button variant="default" loading={opening.isPending} onClick={() => opening.mutate(reason)}>
          Show text
        </Button>
        <span className="dimmed small">The record keeps that you read it{reason.trim() ? ', and why' : ''}.</span>
        <FaultNote error={opening.error} />
      </div>
    );
  }
  const said = saidIn(shown.asked);
  return (
    <div className="said" aria-label="Texts of the call" role="group">
      <p className="dimmed small">It is on record that you read this.</p>
      {said.map(({ who, text }, index) => (
        // Turns have no id, and never change their order.
        // oxlint-disable-next-line react/no-array-index-key
        <Text key={index} who={who} text={text} />
      ))}
      {shown.checks.map((check) =>
        check.judged === null || check.direction === 'input' ? null : (
          <Text key={check.id} who={`answer, as ${check.guard} judged it`} text={judgedWords(check.judged)} />
        ),
      )}
      <details className="more small">
        <summary>The whole request as JSON</summary>
        <Text who="request" text={JSON.stringify(shown.asked, null, 2)} />
        {shown.kept !== null && <Text who="kept beside it" text={JSON.stringify(shown.kept, null, 2)} />}
      </details>
    </div>
  );
}

/** Plain text only: nothing in it is loaded, run or followed. */
function Text({ who, text }: { who: string; text: string }) {
  return (
    <figure>
      <figcaption>{who}</figcaption>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so that the keyboard must reach it */}
      <pre tabIndex={0} role="region" aria-label={who}>
        {text}
      </pre>
    </figure>
  );
}
