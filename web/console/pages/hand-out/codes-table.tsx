import { Button, NativeSelect, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import type { CodeView, LinkView } from '#libs/contracts/admin/claims.js';
import { write } from '../../api/client.ts';
import { ActDialog } from '../../kit/dialog.tsx';
import { Listing } from '../../kit/listing.tsx';
import type { Column } from '../../kit/rows.tsx';
import { Status } from '../../kit/status.tsx';
import { When } from '../../kit/when.tsx';

/** The codes of a link without the codes themselves: who used which, and which are free. */
export function CodesTable({ links, linkId }: { links: readonly LinkView[]; linkId: string | null }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const [voided, setVoided] = useState<CodeView | 'unused' | null>(null);
  const link = links.find(({ id }) => id === (chosen ?? linkId)) ?? links[0];
  if (link === undefined) return null;
  const columns: Column<CodeView>[] = [
    { title: 'Label', cell: ({ label, id }) => label || <span className="dimmed">{id}</span> },
    { title: 'Status', cell: ({ status }) => <Status of={status} /> },
    { title: 'Used', cell: ({ used_at }) => <When at={used_at} short /> },
    { title: 'Key', cell: ({ key }) => (key === null ? '–' : <Link href={`/keys/${key}`}>{key}</Link>) },
    { title: 'Ends', cell: ({ expires_at }) => <When at={expires_at} none="with its link" short /> },
    {
      title: 'Void',
      cell: (code) =>
        code.status === 'free' ? (
          <Button
            variant="default"
            size="xs"
            onClick={() => setVoided(code)}
            aria-label={`Void ${code.label || code.id}`}
          >
            Void
          </Button>
        ) : (
          '–'
        ),
    },
  ];
  return (
    <section className="stack" aria-labelledby="codes">
      <Title order={2} size="h4" id="codes">
        Codes made before
      </Title>
      <Listing<CodeView>
        key={link.id}
        name={`Codes of ${link.name}`}
        path={`/links/${link.id}/codes`}
        columns={columns}
        idOf={({ id }) => id}
        events={['claim']}
        empty={<p>This link has no codes yet.</p>}
        actions={
          <>
            <NativeSelect
              label="Link"
              value={link.id}
              data={links.map(({ id, name }) => ({ value: id, label: name }))}
              onChange={(event) => setChosen(event.currentTarget.value)}
            />
            <Button variant="default" onClick={() => setVoided('unused')}>
              Void unused
            </Button>
          </>
        }
      />
      <ActDialog
        isOpen={voided !== null}
        close={() => setVoided(null)}
        title={voided === 'unused' ? 'Void all unused codes' : 'Void the code'}
        act="Void"
        danger
        run={() =>
          write('POST', '/codes/void', voided === 'unused' ? { link: link.id, unused: true } : { ids: [voided!.id] })
        }
        done={voided === 'unused' ? 'The unused codes are void.' : 'The code is void.'}
      >
        <Text size="sm">
          {voided === 'unused'
            ? `No free code of ${link.name} makes a key any more. Keys that exist still work.`
            : 'The card that has this code makes no key any more. Nobody can undo this.'}
        </Text>
      </ActDialog>
    </section>
  );
}
