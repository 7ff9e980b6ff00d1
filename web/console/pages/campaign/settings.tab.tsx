import { Button, Checkbox, Group, Stack, Text, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { ClaimPage } from '#libs/contracts/claims.js';
import type { ToolPrices } from '#libs/contracts/key-state.js';
import { faultAt, write } from '../../api/client.ts';
import { useSettings } from '../../api/session.ts';
import { isAmount } from '../../kit/amounts.ts';
import { ClaimPreview } from '../../kit/claim-preview.tsx';
import { claimOf, ClaimTextFields, MoreClaimFields, NO_TEXTS, type ClaimTexts } from '../../kit/claim-texts.tsx';
import { useDraft, wholeOf } from '../../kit/draft.ts';
import { FaultNote } from '../../kit/fault-note.tsx';
import { Field, type Form } from '../../kit/field.tsx';
import { ToolFields, toolMistakesIn, toolPatchOf, toolTextsOf, type ToolTexts } from './tool-fields.tsx';

const DAYS_MAX = 36_500;
const PER_HOUR_MAX = 1_000_000;
const PER_CLAIMANT_MAX = 1_000;
const SECONDS_MAX = 10 * 366 * 86_400;
const OVERBOOK = /^\d{1,3}(\.\d{1,2})?$/;
const WEIGHT = /^\d{1,3}(\.\d{1,3})?$/;

/** `campaign.claim` as it is stored: the page, and the rules that all links share. */
type StoredClaim = Partial<ClaimPage> & {
  per_claimant?: number;
  overbook?: number;
  claims_per_hour?: number;
  waitlist?: boolean;
};
interface KeyDefaults {
  budget_usd?: string;
  ttl_seconds?: number;
}

interface Draft extends ClaimTexts, ToolTexts {
  name: string;
  models: readonly string[];
  each: string;
  ttlSeconds: string;
  origins: string;
  retention: string;
  weight: string;
  perClaimant: string;
  overbook: string;
  claimsPerHour: string;
  waitlist: boolean;
}

function draftOf(campaign: CampaignView): Draft {
  const claim = (campaign.claim ?? {}) as StoredClaim;
  const defaults = (campaign.key_defaults ?? {}) as KeyDefaults;
  return {
    ...NO_TEXTS,
    ...toolTextsOf((campaign.tool_prices ?? {}) as ToolPrices),
    title: claim.title ?? '',
    text: claim.text ?? '',
    logo: claim.logo ?? null,
    project_url: claim.project_url ?? '',
    open_url: claim.open_url ?? '',
    contact: claim.contact ?? '',
    privacy_url: claim.privacy_url ?? '',
    snippet_label: claim.snippet?.label ?? '',
    snippet_text: claim.snippet?.text ?? '',
    name: campaign.name,
    models: campaign.models,
    each: defaults.budget_usd ?? '',
    ttlSeconds: defaults.ttl_seconds === undefined ? '' : String(defaults.ttl_seconds),
    origins: (campaign.origins ?? []).join('\n'),
    retention: campaign.retention_days === null ? '' : String(campaign.retention_days),
    weight: String(campaign.weight),
    perClaimant: String(claim.per_claimant ?? 1),
    overbook: String(claim.overbook ?? 1),
    claimsPerHour: String(claim.claims_per_hour ?? 100),
    waitlist: claim.waitlist ?? false,
  };
}

const originsOf = (text: string): string[] => text.split(/\s+/).filter((one) => one !== '');

/** What is wrong, by field. */
const mistakesIn = (draft: Draft) => ({
  ...toolMistakesIn(draft),
  each: draft.each === '' || isAmount(draft.each) ? undefined : 'Such as 0.50',
  ttlSeconds:
    draft.ttlSeconds === '' || wholeOf(draft.ttlSeconds, 1, SECONDS_MAX) ? undefined : 'A whole number of seconds',
  retention: draft.retention === '' || wholeOf(draft.retention, 1, DAYS_MAX) ? undefined : `From 1 to ${DAYS_MAX}`,
  weight: WEIGHT.test(draft.weight) ? undefined : 'A number such as 1 or 0.5',
  perClaimant: wholeOf(draft.perClaimant, 1, PER_CLAIMANT_MAX) ? undefined : `From 1 to ${PER_CLAIMANT_MAX}`,
  overbook: OVERBOOK.test(draft.overbook) ? undefined : 'A number such as 1 or 1.5',
  claimsPerHour: wholeOf(draft.claimsPerHour, 1, PER_HOUR_MAX) ? undefined : `From 1 to ${PER_HOUR_MAX}`,
  models: draft.models.length > 0 ? undefined : 'Choose at least one model',
});

function patchOf(draft: Draft, hadClaim: boolean) {
  const hasClaim = hadClaim || draft.title.trim() !== '';
  return {
    name: draft.name.trim(),
    models: draft.models,
    key_defaults: {
      budget_usd: draft.each.trim() || null,
      ttl_seconds: draft.ttlSeconds === '' ? null : Number(draft.ttlSeconds),
    },
    origins: originsOf(draft.origins),
    retention_days: draft.retention === '' ? null : Number(draft.retention),
    weight: Number(draft.weight),
    tool_prices: toolPatchOf(draft),
    ...(hasClaim
      ? {
          claim: {
            ...claimOf(draft),
            per_claimant: Number(draft.perClaimant),
            overbook: Number(draft.overbook),
            claims_per_hour: Number(draft.claimsPerHour),
            waitlist: draft.waitlist,
          },
        }
      : {}),
  };
}

export function SettingsTab({ campaign }: { campaign: CampaignView }) {
  const client = useQueryClient();
  const { data: settings } = useSettings();
  const { draft, set, merge } = useDraft(draftOf(campaign));
  const mistakes = mistakesIn(draft);
  const hasMistake = Object.values(mistakes).some(Boolean);
  const save = useMutation({
    mutationFn: () => write('PATCH', `/campaigns/${campaign.slug}`, patchOf(draft, campaign.claim !== null)),
    onSuccess: () => {
      notifications.show({ message: 'The settings are saved.' });
      return client.invalidateQueries({ queryKey: ['campaign', campaign.slug] });
    },
  });
  const form: Form<Draft> = { draft, merge, mistakes, error: save.error };
  // Models that the price table no longer has stay chosen until somebody takes them away.
  const models = [...new Set([...(settings?.models.map(({ id }) => id) ?? []), ...campaign.models])];
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!hasMistake) save.mutate();
      }}
    >
      <div className="wizard">
        <div className="stack">
          <section className="card" aria-labelledby="texts">
            <Title order={2} size="h5" id="texts">
              Claim page
            </Title>
            <ClaimTextFields form={form} />
            <MoreClaimFields form={form} />
          </section>
          <section className="card" aria-labelledby="keys">
            <Title order={2} size="h5" id="keys">
              New keys
            </Title>
            <div className="grid">
              <Field of={form} name="each" at="key_defaults" label="Dollars each" inputMode="decimal" />
              <Field
                of={form}
                name="ttlSeconds"
                at="key_defaults"
                label="Time in seconds"
                description="Empty: no end. 86400 is a day."
                inputMode="numeric"
              />
              <Field
                of={form}
                name="perClaimant"
                at="claim.per_claimant"
                label="Keys of one person"
                description="Of whom Daypass knows: by GitHub, by e-mail, by a code’s label"
                inputMode="numeric"
              />
              <Field
                of={form}
                name="claimsPerHour"
                at="claim.claims_per_hour"
                label="Claims in an hour"
                description="Beyond them the puzzles get harder, then claims are refused"
                inputMode="numeric"
              />
              <Field
                of={form}
                name="overbook"
                at="claim.overbook"
                label="Overbook"
                description="1: promise no more than the budget. 1.5: half as much again, as many keys stay unused"
                inputMode="decimal"
              />
            </div>
            <Checkbox
              mt="md"
              label="Waitlist"
              description={
                settings?.gates.email === false
                  ? 'It invites by mail, and needs DAYPASS_SMTP_URL.'
                  : 'Where no key is left, visitors leave an address. You invite them from the tab Waitlist.'
              }
              checked={draft.waitlist}
              disabled={settings?.gates.email === false && !draft.waitlist}
              error={faultAt(save.error, 'claim.waitlist')}
              onChange={(event) => set('waitlist', event.currentTarget.checked)}
            />
          </section>
          <ToolFields form={form} />
          <section className="card" aria-labelledby="campaign">
            <Title order={2} size="h5" id="campaign">
              Campaign
            </Title>
            <div className="fields">
              <Field of={form} name="name" at="name" label="Name" maxLength={200} required />
              <Checkbox.Group
                label="Models"
                value={[...draft.models]}
                error={mistakes.models ?? faultAt(save.error, 'models')}
                onChange={(chosen) => set('models', chosen)}
              >
                <Stack gap="xs" mt="xs">
                  {models.map((id) => (
                    <Checkbox key={id} value={id} label={id} />
                  ))}
                </Stack>
              </Checkbox.Group>
              <Field
                of={form}
                name="origins"
                at="origins"
                label="Origins"
                description="Web pages that may call with keys of this campaign, one a line: https://app.example.org. It stops browsers, not scripts."
                rows={3}
              />
              <Field
                of={form}
                name="retention"
                at="retention_days"
                label="Keep prompts and answers for days"
                description="Empty: for ever"
                inputMode="numeric"
              />
              <Field
                of={form}
                name="weight"
                at="weight"
                label="Weight"
                description="Share of turns in a full lane, beside campaigns of weight 1"
                inputMode="decimal"
              />
            </div>
          </section>
          <FaultNote error={save.error} />
          <Group>
            <Button type="submit" loading={save.isPending} disabled={hasMistake}>
              Save the settings
            </Button>
            {hasMistake && <Text size="sm">A field above needs another value.</Text>}
          </Group>
        </div>
        <ClaimPreview
          {...draft}
          budgetUsd={isAmount(draft.each) ? draft.each : null}
          ttlSeconds={wholeOf(draft.ttlSeconds, 1, SECONDS_MAX)}
          shortChats={null}
          maxClaims={null}
          gate="pow"
          retentionDays={campaign.retention_days}
        />
      </div>
    </form>
  );
}
