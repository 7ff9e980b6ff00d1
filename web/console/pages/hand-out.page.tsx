import { Alert, Button, Group, NativeSelect, Radio, Stack, Text, TextInput, Textarea, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useLocation, useParams, useSearchParams } from 'wouter';
import type { CampaignView, NewKeyView } from '#libs/contracts/admin/answers.js';
import type { LinkView, newCodesAnswer } from '#libs/contracts/admin/claims.js';
import type { z } from 'zod';
import { csvOf } from '../../shared/csv.ts';
import { useCampaign, useLinks } from '../api/campaign.ts';
import { write } from '../api/client.ts';
import { useSettings } from '../api/session.ts';
import { useLeaveGuard } from '../frame/leaving.ts';
import { CopyField } from '../kit/copy-field.tsx';
import { timeOf, useDraft, wholeOf, zoneName } from '../kit/draft.ts';
import { FaultNote } from '../kit/fault-note.tsx';
import { Icon } from '../kit/icon.tsx';
import { Cards, PAPERS, type Paper, type Slip } from './hand-out/cards.tsx';
import { CodesTable } from './hand-out/codes-table.tsx';

const COUNT_MAX = 1_000;

type NewCode = z.output<typeof newCodesAnswer>['data'][number];
/** What was made. It is in the memory of this page only. */
type Made = { kind: 'codes'; codes: NewCode[]; link: LinkView } | { kind: 'keys'; keys: NewKeyView[] };

interface Draft {
  kind: 'codes' | 'keys';
  /** Empty: a new link. */
  link: string;
  count: string;
  labels: string;
  expires: string;
}

export default function HandOutPage() {
  const { slug, view } = useParams<{ slug: string; view?: string }>();
  const [params] = useSearchParams();
  const [, navigate] = useLocation();
  const campaign = useCampaign(slug);
  const links = useLinks(slug);
  const [made, setMade] = useState<Made | null>(null);
  const [paper, setPaper] = useState<Paper>('a4');
  const home = `/campaigns/${slug}/hand-out`;
  useLeaveGuard(
    home,
    made &&
      (made.kind === 'codes'
        ? 'Leave this page? The codes are shown here only.'
        : 'Leave this page? The keys are shown here only.'),
  );
  if (campaign.data === undefined || links.data === undefined) {
    const fault = campaign.error ?? links.error;
    return fault ? <FaultNote error={fault} retry={() => void campaign.refetch()} /> : null;
  }
  const withCodes = links.data.filter(({ gates, status }) => gates.includes('code') && status !== 'closed');
  if (view === 'print') {
    return (
      <>
        <div className="page-head no-print">
          <Title order={1}>Cards of {campaign.data.name}</Title>
          <NativeSelect
            aria-label="Paper"
            value={paper}
            data={PAPERS.map(({ value, label }) => ({ value, label }))}
            onChange={(event) => setPaper(event.currentTarget.value as Paper)}
          />
          <Button leftSection={<Icon name="print" />} onClick={() => print()} disabled={made === null}>
            Print
          </Button>
          <Button variant="default" onClick={() => navigate(home)}>
            Back
          </Button>
        </div>
        {made === null ? (
          <div className="empty">
            <p>No codes are in this page. Make them first: cards are printed from this page only.</p>
            <Button component={Link} href={home}>
              Make codes
            </Button>
          </div>
        ) : (
          <>
            {made.kind === 'keys' && <SecretNote />}
            <Print made={made} campaign={campaign.data} paper={paper} />
          </>
        )}
      </>
    );
  }
  return (
    <div className="stack">
      <div className="page-head">
        <Title order={1}>Hand out keys of {campaign.data.name}</Title>
        <Button component={Link} variant="default" href={`/campaigns/${slug}`}>
          To the campaign
        </Button>
      </div>
      {made === null ? (
        <Form campaign={campaign.data} links={withCodes} linkId={params.get('link')} done={setMade} />
      ) : (
        <Result made={made} print={() => navigate(`${home}/print`)} again={() => setMade(null)} />
      )}
      <CodesTable links={withCodes} linkId={made?.kind === 'codes' ? made.link.id : params.get('link')} />
    </div>
  );
}

function Form({
  campaign,
  links,
  linkId,
  done,
}: {
  campaign: CampaignView;
  links: readonly LinkView[];
  linkId: string | null;
  done: (made: Made) => void;
}) {
  const client = useQueryClient();
  const { draft, set } = useDraft<Draft>({
    kind: 'codes',
    link: links.find(({ id }) => id === linkId)?.id ?? links[0]?.id ?? '',
    count: '100',
    labels: '',
    expires: '',
  });
  const labels = draft.labels
    .split('\n')
    .map((label) => label.trim())
    .filter((label) => label !== '');
  const count =
    labels.length > 0 ? (labels.length <= COUNT_MAX ? labels.length : null) : wholeOf(draft.count, 1, COUNT_MAX);
  const amount = labels.length > 0 ? { labels } : { count };
  const chosen = links.find(({ id }) => id === draft.link);
  const isTooFew = chosen !== undefined && count !== null && count > chosen.max_claims - chosen.claimed;
  const make = useMutation({
    mutationFn: async (): Promise<Made> => {
      if (draft.kind === 'keys') {
        const { data } = await write<{ data: NewKeyView[] }>('POST', '/keys/batch', {
          campaign: campaign.slug,
          ...amount,
        });
        return { kind: 'keys', keys: data };
      }
      // Seats of a workshop share one network, so that a new link has no limit by network.
      const link =
        chosen ??
        (await write<LinkView>('POST', `/campaigns/${campaign.slug}/links`, {
          name: 'Codes',
          gates: ['code'],
          max_claims: count,
          per_ip_per_day: 0,
        }));
      const { data } = await write<{ data: NewCode[] }>('POST', `/links/${link.id}/codes`, {
        ...amount,
        ...(draft.expires ? { expires_at: timeOf(draft.expires) } : {}),
      });
      return { kind: 'codes', codes: data, link };
    },
    onSuccess: async (made) => {
      done(made);
      await client.invalidateQueries();
    },
    // The link may be there although its codes are not: the next press uses it.
    onError: () => client.invalidateQueries({ queryKey: ['links', campaign.slug] }),
  });
  return (
    <form
      className="card"
      onSubmit={(event) => {
        event.preventDefault();
        if (count !== null && !make.isPending) make.mutate();
      }}
    >
      <Stack>
        <Radio.Group
          label="What you hand out"
          value={draft.kind}
          onChange={(kind) => set('kind', kind as Draft['kind'])}
        >
          <Stack gap="sm" mt="xs">
            <Radio
              value="codes"
              label="One-time codes"
              description="Each becomes a key when its holder claims it. A lost card can be voided, and unused codes cost nothing."
            />
            <Radio
              value="keys"
              label="Ready keys"
              description="For programs without a browser. Whoever reads one can spend it, and each takes its budget at once."
            />
          </Stack>
        </Radio.Group>
        {draft.kind === 'keys' && <SecretNote />}
        {draft.kind === 'codes' && (
          <NativeSelect
            label="Link"
            value={draft.link}
            data={[
              ...links.map(({ id, name, claimed, max_claims }) => ({
                value: id,
                label: `${name} (${claimed} of ${max_claims} claimed)`,
              })),
              { value: '', label: 'A new link for these codes' },
            ]}
            onChange={(event) => set('link', event.currentTarget.value)}
          />
        )}
        <TextInput
          label="How many"
          inputMode="numeric"
          value={labels.length > 0 ? String(labels.length) : draft.count}
          disabled={labels.length > 0}
          error={count === null ? `From 1 to ${COUNT_MAX}` : undefined}
          onChange={(event) => set('count', event.currentTarget.value)}
        />
        {isTooFew && draft.kind === 'codes' && (
          <Text size="sm" className="warned">
            The link has {chosen.max_claims - chosen.claimed} keys left: the last codes would find none. Raise its
            number of keys first.
          </Text>
        )}
        <Textarea
          label="Labels"
          description="One a line, such as names or seats: one for each. Empty: all alike."
          rows={3}
          value={draft.labels}
          onChange={(event) => set('labels', event.currentTarget.value)}
        />
        {draft.kind === 'codes' && (
          <TextInput
            type="datetime-local"
            label="Codes end"
            description={`Empty: with their link. In your zone, ${zoneName()}.`}
            value={draft.expires}
            onChange={(event) => set('expires', event.currentTarget.value)}
          />
        )}
        <FaultNote error={make.error} />
        <Group>
          <Button type="submit" loading={make.isPending} disabled={count === null || campaign.status === 'closed'}>
            Make {count ?? ''} {draft.kind}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function SecretNote() {
  return (
    <Alert color="red" variant="light" title="These are secrets" className="no-print">
      A card with a ready key is the key. Whoever photographs it can spend its budget. Hand out codes where you can.
    </Alert>
  );
}

const valuesOf = (made: Made): string[] =>
  made.kind === 'codes' ? made.codes.map(({ code }) => code) : made.keys.map(({ key }) => key);

const fileOf = (made: Made): string =>
  made.kind === 'codes'
    ? csvOf([
        ['code', 'url', 'expires_at', 'label'],
        ...made.codes.map(({ code, url, expires_at, label }) => [code, url, expires_at, label]),
      ])
    : csvOf([
        ['key', 'id', 'label', 'budget_usd', 'expires_at'],
        ...made.keys.map(({ key, id, label, budget_usd, expires_at }) => [key, id, label, budget_usd, expires_at]),
      ]);

function save(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  const anchor = document.createElement('a');
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(address);
}

function Result({ made, print: openPrint, again }: { made: Made; print: () => void; again: () => void }) {
  const values = valuesOf(made);
  return (
    <section className="card stack" aria-labelledby="made">
      <Title order={2} size="h5" id="made">
        {values.length} {made.kind} are ready
      </Title>
      <Text size="sm">
        They are shown in this page only, now. Copy, save or print them before you leave: Daypass keeps their hashes,
        and cannot show them again.
      </Text>
      {made.kind === 'keys' && <SecretNote />}
      <Group>
        <Button leftSection={<Icon name="print" />} onClick={openPrint}>
          Cards to print
        </Button>
        <Button
          variant="default"
          leftSection={<Icon name="download" />}
          onClick={() => save(`${made.kind}.csv`, fileOf(made))}
        >
          Save as CSV
        </Button>
        <Button variant="subtle" onClick={() => confirm('Forget these? They are shown in this page only.') && again()}>
          Make others
        </Button>
      </Group>
      <CopyField text={values.join('\n')} name={`all ${made.kind}`} isBlock isFolded />
    </section>
  );
}

function Print({ made, campaign, paper }: { made: Made; campaign: CampaignView; paper: Paper }) {
  const { data: settings } = useSettings();
  const title = (campaign.claim as { title?: string } | null)?.title ?? campaign.name;
  const baseUrl = `${settings?.public_url ?? settings?.visitors_url ?? ''}/v1`;
  const slips: Slip[] =
    made.kind === 'codes'
      ? made.codes.map(({ code, url, expires_at, label }) => ({
          title,
          label,
          value: code,
          scan: url,
          expiresAt: expires_at,
          steps: [
            `Scan, or open ${made.link.url.replace(/^https?:\/\//, '')}`,
            'Enter the code, press “Get my key”',
            'Copy the key into your program',
          ],
        }))
      : made.keys.map(({ key, expires_at, label }) => ({
          title,
          label,
          value: key,
          scan: key,
          expiresAt: expires_at,
          steps: [`OPENAI_BASE_URL=${baseUrl}`, 'OPENAI_API_KEY= the key above', 'Any OpenAI client works with these'],
        }));
  return <Cards slips={slips} paper={paper} />;
}
