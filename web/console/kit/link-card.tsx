import { Alert, Button, Group, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { z } from 'zod';
import type { linkTestAnswer, LinkView } from '#libs/contracts/admin/claims.js';
import { write } from '../api/client.ts';
import { CopyField } from './copy-field.tsx';
import { FaultNote } from './fault-note.tsx';
import { Icon } from './icon.tsx';
import { Qr } from './qr.tsx';

type LinkTest = z.output<typeof linkTestAnswer>['data'];

/** Everything that an operator shares of a link, and a button that tries it out. */
export function LinkCard({ link }: { link: LinkView }) {
  const badge = `[![free key](${link.url}/badge.svg)](${link.url})`;
  const isFetched = link.gates.every((gate) => gate === 'pow');
  return (
    <div className="stack">
      {link.warnings?.map((warning) => (
        <Alert key={warning} color="yellow" variant="light" title="Before you share it">
          {sentenceOf(warning)}
        </Alert>
      ))}
      <div className="share">
        <Qr text={link.url} name={`QR code of ${link.url}`} />
        <div className="stack">
          <div>
            <Text size="sm" fw={500} mb={4}>
              Claim link
            </Text>
            <CopyField text={link.url} name="claim link" />
          </div>
          <div>
            <Text size="sm" fw={500} mb={4}>
              Badge for a README
            </Text>
            <CopyField text={badge} name="badge" isBlock />
          </div>
          <div>
            <Text size="sm" fw={500} mb={4}>
              Button for your own page
            </Text>
            <CopyField text={snippetOf(link)} name="code for your page" isBlock />
            <Text size="sm" className="dimmed" mt={4}>
              {reachOf(isFetched ? link.origins : link.redirect_uris, isFetched)}
            </Text>
          </div>
          <TestLink id={link.id} />
        </div>
      </div>
    </div>
  );
}

const snippetOf = ({ url, token }: LinkView): string =>
  [
    `<script type="module" src="${new URL('/claim.js', url).href}"></script>`,
    `<daypass-button link="${token}" remember="session">Get a free key</daypass-button>`,
  ].join('\n');

/** Where the button works. A link that asks for more than a proof of work sends the visitor there and back. */
function reachOf(places: readonly string[], isFetched: boolean): string {
  const field = isFetched ? 'Origins' : 'Addresses of apps';
  return places.length === 0
    ? `It works nowhere yet: change the link, and name your page under “${field}”.`
    : `It works on ${places.join(', ')}.`;
}

/** The API begins a warning with the field that it is about. */
function sentenceOf(warning: string): string {
  const text = warning.replace(/^[a-z_]+: /, '');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** A claim of $0 up to its booking, undone: it finds what a visitor would run into. */
export function TestLink({ id }: { id: string }) {
  const test = useMutation({
    mutationFn: async () => (await write<{ data: LinkTest }>('POST', `/links/${id}/test`)).data,
  });
  return (
    <div className="stack">
      <Group gap="sm">
        <Button variant="default" loading={test.isPending} onClick={() => test.mutate()}>
          Test this link
        </Button>
        <Text size="sm" className="dimmed">
          A claim of $0, undone. No key is made.
        </Text>
      </Group>
      <FaultNote error={test.error} />
      {test.data && (
        <section aria-label="What the test found" aria-live="polite">
          <Text fw={600}>{test.data.ok ? 'The link works' : 'Not everything works'}</Text>
          <ul className="checks">
            {test.data.steps.map((step) => (
              <li key={step.name} data-ok={step.ok}>
                <Icon name={step.ok ? 'ok' : 'warn'} />
                <span>
                  <span className="unseen">{step.ok ? 'works: ' : 'fails: '}</span>
                  {step.text}
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
