import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { LinkView } from '#libs/contracts/admin/claims.js';
import type { Gate } from '#libs/contracts/claims.js';
import { useLinks } from '../../api/campaign.ts';
import { write } from '../../api/client.ts';
import { useSettings } from '../../api/session.ts';
import { isAmount, showUsd } from '../../kit/amounts.ts';
import { ActDialog } from '../../kit/dialog.tsx';
import { localOf, timeOf, useDraft, wholeOf, zoneName } from '../../kit/draft.ts';
import { FaultNote } from '../../kit/fault-note.tsx';
import { Field, type Form } from '../../kit/field.tsx';
import { DAYS_MAX, domainsOf, GATE_WORDS, gatesOf } from '../../kit/gates.ts';
import { LinkCard } from '../../kit/link-card.tsx';
import { Status } from '../../kit/status.tsx';
import { When } from '../../kit/when.tsx';

const CLAIMS_MAX = 100_000;
const PER_IP_MAX = 1_000;
const HOURS_MAX = 87_840;

export function LinksTab({ campaign }: { campaign: CampaignView }) {
  const { data: links, error, refetch } = useLinks(campaign.slug);
  const [shared, setShared] = useState<LinkView | null>(null);
  const [edited, setEdited] = useState<LinkView | 'new' | null>(null);
  const [ended, setEnded] = useState<LinkView | null>(null);
  const isClosed = campaign.status === 'closed';
  return (
    <div className="stack">
      <Group>
        <Button onClick={() => setEdited('new')} disabled={isClosed}>
          New link
        </Button>
        <Text size="sm" className="dimmed">
          One for the README, one for a workshop, one for a web page: each has its own limits.
        </Text>
      </Group>
      <FaultNote error={error} retry={() => void refetch()} />
      {links?.length === 0 && (
        <div className="empty">
          <p>No links yet. A visitor gets a key from a link.</p>
          <Button onClick={() => setEdited('new')} disabled={isClosed}>
            Make a link
          </Button>
        </div>
      )}
      <ul className="links">
        {links?.map((link) => (
          <li key={link.id} className="card">
            <div className="card-head">
              <h2 className="link-name">{link.name}</h2>
              <Status of={link.status} />
            </div>
            <p className="link-url">
              <a href={link.url} target="_blank" rel="noreferrer">
                {link.url}
              </a>
            </p>
            <dl className="facts">
              <dt>Who</dt>
              <dd>{link.gates.map((gate) => whoOf(link, gate)).join(', ')}</dd>
              <dt>Each key</dt>
              <dd>
                {showUsd(link.key.budget_usd)}
                {link.key.ttl_seconds !== null && ` for ${Math.round(link.key.ttl_seconds / 360) / 10} h`}
              </dd>
              <dt>Claimed</dt>
              <dd>
                {link.claimed} of {link.max_claims}; the page was opened {link.opened} times
              </dd>
              <dt>One network a day</dt>
              <dd>{link.per_ip_per_day === 0 ? 'no limit' : `${link.per_ip_per_day} keys`}</dd>
              {link.origins.length + link.redirect_uris.length > 0 && (
                <>
                  <dt>Pages and apps</dt>
                  <dd>{[...link.origins, ...link.redirect_uris].join(', ')}</dd>
                </>
              )}
              <dt>Open</dt>
              <dd>
                {link.starts_at !== null && (
                  <>
                    from <When at={link.starts_at} />{' '}
                  </>
                )}
                until <When at={link.expires_at} none="the keys are gone" />
              </dd>
            </dl>
            <Group gap="sm" mt="md">
              <Button variant="default" onClick={() => setShared(link)} aria-label={`Share ${link.name}`}>
                Share
              </Button>
              {link.gates.includes('code') && (
                <Button
                  component={Link}
                  variant="default"
                  href={`/campaigns/${campaign.slug}/hand-out?link=${link.id}`}
                  aria-label={`Codes of ${link.name}`}
                >
                  Codes
                </Button>
              )}
              {link.status !== 'closed' && (
                <>
                  <Button variant="default" onClick={() => setEdited(link)} aria-label={`Change ${link.name}`}>
                    Change
                  </Button>
                  <PauseButton link={link} refetch={() => void refetch()} />
                  <Button variant="subtle" color="red" onClick={() => setEnded(link)} aria-label={`Close ${link.name}`}>
                    Close
                  </Button>
                </>
              )}
            </Group>
          </li>
        ))}
      </ul>
      <Modal
        opened={shared !== null}
        onClose={() => setShared(null)}
        title={shared ? `Share ${shared.name}` : ''}
        size="lg"
        transitionProps={{ duration: 0 }}
      >
        {shared && <LinkCard link={shared} />}
      </Modal>
      <LinkDialog campaign={campaign} link={edited} close={() => setEdited(null)} share={setShared} />
      <ActDialog
        isOpen={ended !== null}
        close={() => setEnded(null)}
        title={`Close ${ended?.name ?? ''}`}
        act="Close the link"
        danger
        run={() => write('DELETE', `/links/${ended!.id}`)}
        done="The link is closed."
      >
        <Text size="sm">
          It gives no more keys, and its unused codes are worth nothing. Keys that exist still work. A closed link stays
          closed; make a new one if you need it again.
        </Text>
      </ActDialog>
    </div>
  );
}

function whoOf({ github, email }: LinkView, gate: Gate): string {
  const { who } = GATE_WORDS[gate];
  if (gate === 'github' && github.min_account_age_days > 0)
    return `${who}, at least ${github.min_account_age_days} days old`;
  return gate === 'email' && email.domains.length > 0 ? `${who} of ${email.domains.join(', ')}` : who;
}

function PauseButton({ link, refetch }: { link: LinkView; refetch: () => void }) {
  const [fault, setFault] = useState<unknown>(null);
  const isPaused = link.status === 'paused';
  const change = async (): Promise<void> => {
    try {
      await write('PATCH', `/links/${link.id}`, { status: isPaused ? 'open' : 'paused' });
      setFault(null);
    } catch (error) {
      setFault(error);
    }
    refetch();
  };
  return (
    <>
      <Button
        variant="default"
        onClick={() => void change()}
        aria-label={isPaused ? `Open ${link.name}` : `Pause ${link.name}`}
      >
        {isPaused ? 'Open' : 'Pause'}
      </Button>
      <FaultNote error={fault} />
    </>
  );
}

interface Draft {
  name: string;
  token: string;
  gate: Gate;
  /** Of an account at GitHub, in days. */
  age: string;
  domains: string;
  each: string;
  hours: string;
  count: string;
  perIp: string;
  origins: string;
  redirectUris: string;
  starts: string;
  ends: string;
}

const draftOf = (link: LinkView | null): Draft => ({
  name: link?.name ?? '',
  token: '',
  gate: link?.gates[0] ?? 'pow',
  age: String(link?.github.min_account_age_days ?? 30),
  domains: (link?.email.domains ?? []).join(', '),
  each: link?.key.budget_usd ?? '',
  hours: link?.key.ttl_seconds ? String(Math.round(link.key.ttl_seconds / 3_600)) : '',
  count: String(link?.max_claims ?? 100),
  perIp: String(link?.per_ip_per_day ?? 3),
  origins: link?.origins.join('\n') ?? '',
  redirectUris: link?.redirect_uris.join('\n') ?? '',
  starts: localOf(link?.starts_at ?? null),
  ends: localOf(link?.expires_at ?? null),
});

const linesOf = (text: string): string[] => text.split(/\s+/).filter((line) => line !== '');

function LinkDialog({
  campaign,
  link,
  close,
  share,
}: {
  campaign: CampaignView;
  link: LinkView | 'new' | null;
  close: () => void;
  share: (link: LinkView) => void;
}) {
  if (link === null) return null;
  return <LinkForm campaign={campaign} link={link === 'new' ? null : link} close={close} share={share} />;
}

function LinkForm({
  campaign,
  link,
  close,
  share,
}: {
  campaign: CampaignView;
  link: LinkView | null;
  close: () => void;
  share: (link: LinkView) => void;
}) {
  const [begin] = useState(() => draftOf(link));
  const { data: settings } = useSettings();
  const { draft, merge } = useDraft(begin);
  const count = wholeOf(draft.count, 1, CLAIMS_MAX);
  const perIp = wholeOf(draft.perIp, 0, PER_IP_MAX);
  const hours = draft.hours === '' ? undefined : wholeOf(draft.hours, 1, HOURS_MAX);
  const age = wholeOf(draft.age, 0, DAYS_MAX);
  const isEachRight = draft.each === '' || isAmount(draft.each);
  const isReady =
    draft.name.trim() !== '' && count !== null && perIp !== null && hours !== null && age !== null && isEachRight;
  const form: Form<Draft> = {
    draft,
    merge,
    mistakes: {
      age: age === null ? `From 0 to ${DAYS_MAX}` : undefined,
      each: isEachRight ? undefined : 'Such as 0.50',
      hours: hours === null ? 'A whole number' : undefined,
      count: count === null ? `From 1 to ${CLAIMS_MAX}` : undefined,
      perIp: perIp === null ? `From 0 to ${PER_IP_MAX}` : undefined,
    },
  };
  const body = {
    name: draft.name.trim(),
    gates: [draft.gate],
    ...(draft.gate === 'github' ? { github: { min_account_age_days: age } } : {}),
    ...(draft.gate === 'email' ? { email: { domains: domainsOf(draft.domains) } } : {}),
    max_claims: count,
    per_ip_per_day: perIp,
    origins: linesOf(draft.origins),
    redirect_uris: linesOf(draft.redirectUris),
    starts_at: timeOf(draft.starts),
    expires_at: timeOf(draft.ends),
    // What nobody changed here stays as it is, also where it is no whole number of hours.
    key: {
      ...(draft.each === '' || draft.each === begin.each ? {} : { budget_usd: draft.each.trim() }),
      ...(hours === undefined || hours === null || draft.hours === begin.hours ? {} : { ttl_seconds: hours * 3_600 }),
    },
  };
  const run = async (): Promise<void> => {
    if (link) await write('PATCH', `/links/${link.id}`, body);
    else {
      const token = draft.token.trim();
      share(
        await write<LinkView>('POST', `/campaigns/${campaign.slug}/links`, { ...body, ...(token ? { token } : {}) }),
      );
    }
  };
  return (
    <ActDialog
      isOpen
      close={close}
      title={link ? `Change ${link.name}` : 'New link'}
      act={link ? 'Save' : 'Make the link'}
      isReady={isReady}
      run={run}
      done={link ? 'The link is changed.' : 'The link is open.'}
    >
      <Field
        of={form}
        name="name"
        label="Name"
        description="For you: README, workshop…"
        required
        maxLength={100}
        data-autofocus
      />
      {!link && (
        <Field
          of={form}
          name="token"
          label="Ending of its address"
          description="Small letters, digits and dashes. Empty: a random one that nobody guesses."
          maxLength={63}
        />
      )}
      <Field
        of={form}
        name="gate"
        label="Who gets a key"
        data={gatesOf(settings?.gates, link?.gates[0]).map((gate) => ({ value: gate, label: GATE_WORDS[gate].label }))}
      />
      {draft.gate === 'github' && (
        <Field of={form} name="age" label="Least age of an account, in days" inputMode="numeric" />
      )}
      {draft.gate === 'email' && (
        <Field
          of={form}
          name="domains"
          label="Domains of addresses"
          description="Such as example.org, with commas between them. Empty: every address."
        />
      )}
      <Group grow align="start">
        <Field of={form} name="each" label="Dollars each" inputMode="decimal" placeholder="as the campaign" />
        <Field of={form} name="hours" label="Hours" inputMode="numeric" placeholder="as the campaign" />
      </Group>
      <Group grow align="start">
        <Field of={form} name="count" label="Number of keys" inputMode="numeric" />
        <Field of={form} name="perIp" label="One network a day" description="0: no limit" inputMode="numeric" />
      </Group>
      <Stack gap="xs">
        <Field
          of={form}
          name="starts"
          type="datetime-local"
          label="Starts"
          description={`In your zone, ${zoneName()}`}
        />
        <Field of={form} name="ends" type="datetime-local" label="Ends" />
      </Stack>
      <Field
        of={form}
        name="origins"
        label="Origins"
        description="Web pages that may claim for their visitors, one a line: https://app.example.org. It stops browsers, not scripts."
        rows={2}
      />
      <Field
        of={form}
        name="redirectUris"
        label="Addresses of apps"
        description="Where apps get the keys of their visitors, one a line, whole: https://app.example.org/start. http://localhost:* is any port of the visitor’s machine."
        rows={2}
      />
    </ActDialog>
  );
}
