import { Button, Checkbox, Group, NativeSelect, Radio, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { LinkView } from '#libs/contracts/admin/claims.js';
import type { Settings } from '#libs/contracts/admin/console.js';
import type { Gate } from '#libs/contracts/claims.js';
import { priceWords } from '../../shared/prices.ts';
import { faultAt, write } from '../api/client.ts';
import { useSettings } from '../api/session.ts';
import { useLeaveGuard } from '../frame/leaving.ts';
import { isAmount, nanoOfAmount, showUsd, writeNano } from '../kit/amounts.ts';
import { ClaimPreview } from '../kit/claim-preview.tsx';
import { claimOf, ClaimTextFields, MoreClaimFields, NO_TEXTS, type ClaimTexts } from '../kit/claim-texts.tsx';
import { timeOf, useDraft, wholeOf, zoneName } from '../kit/draft.ts';
import { FaultNote } from '../kit/fault-note.tsx';
import { GATE_WORDS, gatesOf } from '../kit/gates.ts';
import { LinkCard } from '../kit/link-card.tsx';
import { SAFETY, STRIKES, type SafetyName } from '../kit/safety.ts';

const STEPS = ['Name', 'Budget', 'Visitors', 'Safety'] as const;
const PRESETS = [
  { name: 'taste', label: 'Taste: $0.10 for 1 hour', each: '0.10', seconds: 3_600 },
  { name: 'day', label: 'Day: $0.50 for 24 hours', each: '0.50', seconds: 86_400 },
  { name: 'workshop', label: 'Workshop: $2.00 for 8 hours', each: '2.00', seconds: 28_800 },
  { name: 'own', label: 'Own amount and time', each: '', seconds: 0 },
] as const;
const CLAIMS_MAX = 100_000;
const HOURS_MAX = 8_784;
const NANO_PER_USD = 1_000_000_000n;

interface Draft extends ClaimTexts {
  name: string;
  /** null: it follows the name. */
  slug: string | null;
  hasOwnTitle: boolean;
  budget: string;
  preset: (typeof PRESETS)[number]['name'];
  each: string;
  hours: string;
  models: readonly string[] | null;
  gate: Gate;
  /** Empty: as many as the budget pays for. */
  count: string;
  starts: string;
  ends: string;
  isWorkshop: boolean;
  safety: SafetyName;
  hasStrikes: boolean;
}

const BEGIN: Draft = {
  ...NO_TEXTS,
  name: '',
  slug: null,
  hasOwnTitle: false,
  budget: '50.00',
  preset: 'day',
  each: '0.50',
  hours: '24',
  models: null,
  gate: 'pow',
  count: '',
  starts: '',
  ends: '',
  isWorkshop: false,
  safety: 'careful',
  hasStrikes: true,
};

/** Small letters, digits and dashes of a name. */
export const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
    .replaceAll(/-+$/g, '');

type Set = <K extends keyof Draft>(field: K, value: Draft[K]) => void;
interface StepProps {
  draft: Draft;
  set: Set;
  merge: (change: Partial<Draft>) => void;
  worth: Worth;
  settings: Settings;
  error: unknown;
}

/** What the numbers of a draft come to. */
interface Worth {
  models: readonly string[];
  ttlSeconds: number | null;
  visitors: number | null;
  shortChats: number | null;
  maxClaims: number | null;
}

function worthOf(draft: Draft, settings: Settings | undefined): Worth {
  const offered = settings?.models ?? [];
  const models =
    draft.models ??
    offered
      .filter((one) => one.short_chats_per_usd !== null)
      .slice(0, 1)
      .map(({ id }) => id);
  const each = nanoOfAmount(draft.each);
  const visitors = each > 0n ? Number(nanoOfAmount(draft.budget) / each) : null;
  // The dearest chosen model, so that the promise holds for each of them.
  const chats = offered.flatMap((one) => (models.includes(one.id) ? (one.short_chats_per_usd ?? []) : []));
  const hours = wholeOf(draft.hours, 1, HOURS_MAX);
  return {
    models,
    ttlSeconds: hours === null ? null : hours * 3_600,
    visitors,
    shortChats: chats.length > 0 && each > 0n ? Number((each * BigInt(Math.min(...chats))) / NANO_PER_USD) : null,
    maxClaims:
      draft.count === ''
        ? visitors === null
          ? null
          : Math.min(CLAIMS_MAX, Math.max(1, visitors))
        : wholeOf(draft.count, 1, CLAIMS_MAX),
  };
}

/** What is wrong with a step, or null. */
function mistakeIn(step: number, draft: Draft, worth: Worth): string | null {
  if (step === 0) {
    if (draft.name.trim() === '') return 'Give the campaign a name.';
    if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(draft.slug ?? slugOf(draft.name)))
      return 'The address must be 1 to 63 small letters, digits and dashes, with no dash at either end.';
    if (draft.title.trim() === '') return 'Give the claim page a title.';
  }
  if (step === 1) {
    if (!isAmount(draft.budget) || nanoOfAmount(draft.budget) === 0n)
      return 'The total budget must be an amount such as 50.00.';
    if (!isAmount(draft.each) || nanoOfAmount(draft.each) === 0n)
      return 'What each visitor gets must be an amount such as 0.50.';
    if (nanoOfAmount(draft.each) > nanoOfAmount(draft.budget))
      return 'A visitor cannot get more than the total budget.';
    if (worth.ttlSeconds === null) return `The time must be a whole number of hours from 1 to ${HOURS_MAX}.`;
    if (worth.models.length === 0) return 'Choose at least one model.';
  }
  if (step === 2) {
    if (worth.maxClaims === null) return `The number of keys must be a whole number from 1 to ${CLAIMS_MAX}.`;
    if (draft.starts && draft.ends && draft.starts >= draft.ends) return 'The link must end after it starts.';
  }
  return null;
}

export default function WizardPage() {
  const { data: settings, error, refetch } = useSettings();
  const client = useQueryClient();
  const { draft, set, merge } = useDraft(BEGIN);
  const [step, setStep] = useState(0);
  const [mistake, setMistake] = useState<string | null>(null);
  const [campaign, setCampaign] = useState<CampaignView | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const worth = worthOf(draft, settings);

  const launch = useMutation({
    mutationFn: async (): Promise<LinkView> => {
      // A second press after a fault of the link goes on where the first one stopped.
      const made = campaign ?? (await write<CampaignView>('POST', '/campaigns', campaignOf(draft, worth)));
      setCampaign(made);
      return write<LinkView>('POST', `/campaigns/${made.slug}/links`, linkOf(draft, worth));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ['overview'] }),
    onError: (fault) => {
      if (faultAt(fault, 'slug', 'name', 'claim')) setStep(0);
      else if (faultAt(fault, 'budget_usd', 'models', 'key_defaults')) setStep(1);
    },
  });
  const isDone = launch.data !== undefined;
  useLeaveGuard('/campaigns/new', draft.name !== '' && !isDone ? 'Leave the wizard? What you typed is lost.' : null);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
  }, [step, isDone]);

  if (settings === undefined) return <FaultNote error={error} retry={() => void refetch()} />;
  if (campaign && launch.data) return <Done campaign={campaign} link={launch.data} heading={heading} />;

  const goOn = (): void => {
    const found = mistakeIn(step, draft, worth);
    setMistake(found);
    if (found !== null) return;
    if (step < STEPS.length - 1) setStep(step + 1);
    else launch.mutate();
  };
  const Step = [NameStep, BudgetStep, VisitorsStep, SafetyStep][step]!;
  return (
    <>
      <div className="page-head">
        <Title order={1}>Launch a campaign</Title>
      </div>
      <ol className="steps" aria-label="Steps">
        {STEPS.map((name, index) => (
          <li key={name} aria-current={index === step ? 'step' : undefined}>
            <b>{index + 1}</b>
            {name}
          </li>
        ))}
      </ol>
      <div className="wizard">
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            if (!launch.isPending) goOn();
          }}
        >
          <Stack>
            <h2 ref={heading} tabIndex={-1} className="step-title">
              {STEPS[step]}
            </h2>
            <Step draft={draft} set={set} merge={merge} worth={worth} settings={settings} error={launch.error} />
            <Text role="alert" size="sm" className="fault">
              {mistake}
            </Text>
            <FaultNote error={launch.error} />
            <Group justify="space-between">
              <Button
                variant="default"
                disabled={step === 0}
                onClick={() => {
                  setMistake(null);
                  setStep(step - 1);
                }}
              >
                Back
              </Button>
              <Button type="submit" loading={launch.isPending}>
                {step < STEPS.length - 1 ? 'Next' : 'Launch'}
              </Button>
            </Group>
          </Stack>
        </form>
        <ClaimPreview
          {...draft}
          budgetUsd={isAmount(draft.each) ? draft.each : null}
          ttlSeconds={worth.ttlSeconds}
          models={worth.models}
          shortChats={worth.shortChats}
          maxClaims={worth.maxClaims}
          retentionDays={settings.retention_days_default}
        />
      </div>
    </>
  );
}

const campaignOf = (draft: Draft, worth: Worth) => {
  const { input, output } = SAFETY.find(({ name }) => name === draft.safety)!;
  return {
    slug: draft.slug ?? slugOf(draft.name),
    name: draft.name.trim(),
    budget_usd: draft.budget.trim(),
    models: worth.models,
    key_defaults: { budget_usd: draft.each.trim(), ttl_seconds: worth.ttlSeconds },
    moderation: { input, output, on_unavailable: 'closed', ...(draft.hasStrikes ? { strikes: STRIKES } : {}) },
    claim: claimOf(draft),
  };
};

const linkOf = (draft: Draft, worth: Worth) => ({
  name: draft.gate === 'code' ? 'Codes' : 'Link',
  gates: [draft.gate],
  key: { budget_usd: draft.each.trim(), ttl_seconds: worth.ttlSeconds },
  max_claims: worth.maxClaims,
  starts_at: timeOf(draft.starts),
  expires_at: timeOf(draft.ends),
  ...(draft.isWorkshop ? { per_ip_per_day: 0 } : {}),
});

function NameStep({ draft, set, merge, error }: StepProps) {
  return (
    <>
      <TextInput
        label="Name"
        description="For you and your colleagues."
        value={draft.name}
        required
        maxLength={200}
        data-autofocus
        error={faultAt(error, 'name')}
        onChange={(event) => {
          const name = event.currentTarget.value;
          set('name', name);
          if (!draft.hasOwnTitle) set('title', name.trim() && `Try ${name.trim()}`);
        }}
      />
      <TextInput
        label="Address"
        description="Of the campaign in the console and in the API. It cannot change later."
        value={draft.slug ?? slugOf(draft.name)}
        maxLength={63}
        error={faultAt(error, 'slug')}
        onChange={(event) => set('slug', event.currentTarget.value)}
      />
      <ClaimTextFields
        form={{
          draft,
          error,
          merge: (change) => merge(change.title === undefined ? change : { ...change, hasOwnTitle: true }),
        }}
      />
      <More title="More about the claim page">
        <MoreClaimFields form={{ draft, merge, error }} />
      </More>
    </>
  );
}

function BudgetStep({ draft, set, worth, settings, error }: StepProps) {
  const isOwn = draft.preset === 'own';
  return (
    <>
      <TextInput
        label="Total budget in dollars"
        description="The campaign never costs more."
        inputMode="decimal"
        value={draft.budget}
        required
        error={faultAt(error, 'budget_usd')}
        onChange={(event) => set('budget', event.currentTarget.value)}
      />
      <NativeSelect
        label="Each visitor gets"
        value={draft.preset}
        data={PRESETS.map(({ name, label }) => ({ value: name, label }))}
        onChange={(event) => {
          const preset = PRESETS.find(({ name }) => name === event.currentTarget.value)!;
          set('preset', preset.name);
          if (preset.name === 'own') return;
          set('each', preset.each);
          set('hours', String(preset.seconds / 3_600));
        }}
      />
      {isOwn && (
        <Group grow align="start">
          <TextInput
            label="Dollars each"
            inputMode="decimal"
            value={draft.each}
            onChange={(event) => set('each', event.currentTarget.value)}
          />
          <TextInput
            label="Hours"
            inputMode="numeric"
            value={draft.hours}
            onChange={(event) => set('hours', event.currentTarget.value)}
          />
        </Group>
      )}
      <Checkbox.Group
        label="Models"
        description="Dollars per million tokens, where nothing else stands there: what goes in, what comes out."
        value={[...worth.models]}
        error={faultAt(error, 'models')}
        onChange={(models) => set('models', models)}
      >
        <Stack gap="xs" mt="xs">
          {settings.models.map((model) => (
            <Checkbox
              key={model.id}
              value={model.id}
              label={model.id}
              description={`${priceWords(model)}${model.shutdown_date ? `; shut down on ${model.shutdown_date}` : ''}`}
            />
          ))}
        </Stack>
      </Checkbox.Group>
      <Sum draft={draft} worth={worth} />
    </>
  );
}

function Sum({ draft, worth }: { draft: Draft; worth: Worth }) {
  if (worth.visitors === null || !isAmount(draft.budget)) return null;
  return (
    <p className="sum" aria-live="polite">
      {worth.visitors.toLocaleString('en')} {worth.visitors === 1 ? 'visitor' : 'visitors'}
      {worth.shortChats !== null && `, about ${worth.shortChats.toLocaleString('en')} short chats each`}, never more
      than {showUsd(writeNano(nanoOfAmount(draft.budget)))}.
    </p>
  );
}

function VisitorsStep({ draft, set, worth, settings }: StepProps) {
  const missing = [
    ...(settings.gates.github ? [] : ['Sign-in with GitHub needs DAYPASS_GITHUB_CLIENT_ID.']),
    ...(settings.gates.email ? [] : ['E-mail needs DAYPASS_SMTP_URL.']),
  ];
  return (
    <>
      <Radio.Group
        label="Who gets a key"
        value={draft.gate}
        onChange={(gate) => {
          set('gate', gate as Draft['gate']);
          set('isWorkshop', gate === 'code');
        }}
      >
        <Stack gap="sm" mt="xs">
          {gatesOf(settings.gates).map((gate) => (
            <Radio key={gate} value={gate} label={GATE_WORDS[gate].label} description={GATE_WORDS[gate].description} />
          ))}
        </Stack>
      </Radio.Group>
      {missing.length > 0 && <Text size="sm">{missing.join(' ')}</Text>}
      <TextInput
        label="Number of keys"
        description="Empty: as many as the budget pays for."
        inputMode="numeric"
        placeholder={worth.visitors === null ? '' : String(Math.min(CLAIMS_MAX, Math.max(1, worth.visitors)))}
        value={draft.count}
        onChange={(event) => set('count', event.currentTarget.value)}
      />
      <Group grow align="start">
        <TextInput
          type="datetime-local"
          label="Starts"
          description={`Empty: now. In your zone, ${zoneName()}.`}
          value={draft.starts}
          onChange={(event) => set('starts', event.currentTarget.value)}
        />
        <TextInput
          type="datetime-local"
          label="Ends"
          description="Empty: when the keys are gone."
          value={draft.ends}
          onChange={(event) => set('ends', event.currentTarget.value)}
        />
      </Group>
      <Checkbox
        label="Many visitors share one network"
        description="As in a workshop. Otherwise one network gets at most three keys a day."
        checked={draft.isWorkshop}
        onChange={(event) => set('isWorkshop', event.currentTarget.checked)}
      />
    </>
  );
}

function SafetyStep({ draft, set, worth }: StepProps) {
  return (
    <>
      <Radio.Group
        label="How prompts and answers are checked"
        value={draft.safety}
        onChange={(safety) => set('safety', safety as SafetyName)}
      >
        <Stack gap="sm" mt="xs">
          {SAFETY.map(({ name, label, text }) => (
            <Radio key={name} value={name} label={label} description={text} />
          ))}
        </Stack>
      </Radio.Group>
      <Checkbox
        label="Strikes"
        description="A key rests for 10 minutes after 3 refused prompts within a day. After 5 it is suspended until you decide."
        checked={draft.hasStrikes}
        onChange={(event) => set('hasStrikes', event.currentTarget.checked)}
      />
      <Sum draft={draft} worth={worth} />
    </>
  );
}

function More({ title, children }: { title: string; children: ReactNode }) {
  return (
    <details className="more">
      <summary>{title}</summary>
      <div>{children}</div>
    </details>
  );
}

function Done({
  campaign,
  link,
  heading,
}: {
  campaign: CampaignView;
  link: LinkView;
  heading: React.RefObject<HTMLHeadingElement | null>;
}) {
  const hasCodes = link.gates.includes('code');
  return (
    <div className="stack done">
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {campaign.name} is live
        </h1>
        {hasCodes && (
          <Button component={Link} href={`/campaigns/${campaign.slug}/hand-out?link=${link.id}`}>
            Make codes
          </Button>
        )}
        <Button component={Link} href={`/campaigns/${campaign.slug}`} variant="default">
          Go to the campaign
        </Button>
      </div>
      {hasCodes && <Text>A visitor needs this link and a one-time code. Make the codes next.</Text>}
      <div className="card">
        <LinkCard link={link} />
      </div>
    </div>
  );
}
