import { Button, Checkbox, Group, Stack, Text, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import type { ModerationPolicy } from '#libs/contracts/policy.js';
import { write } from '../../api/client.ts';
import { useDraft, wholeOf } from '../../kit/draft.ts';
import { FaultNote } from '../../kit/fault-note.tsx';
import { Field, type Form } from '../../kit/field.tsx';
import { CATEGORIES, INPUT_MODES, OUTPUT_MODES, type Category } from '../../kit/moderation.ts';
import { ReplayNote } from '../../kit/replay.tsx';
import { STRIKES } from '../../kit/safety.ts';

const STRIKES_MAX = 100;
const SECONDS_MAX = 366 * 86_400;
const USUAL_THRESHOLD = 0.5;

interface Draft {
  input: ModerationPolicy['input'];
  output: ModerationPolicy['output'];
  onUnavailable: ModerationPolicy['on_unavailable'];
  images: 'fetch' | 'data';
  shelf: 'on' | 'off';
  embeddings: boolean;
  thresholds: Partial<Record<Category, number>>;
  hasStrikes: boolean;
  cooldownAfter: string;
  cooldownSeconds: string;
  suspendAfter: string;
  windowSeconds: string;
}

function draftOf(policy: ModerationPolicy): Draft {
  const strikes = policy.strikes ?? {};
  // What the policy leaves out means never, so that the field stays empty.
  const text = (given: number | undefined, usual: number): string =>
    policy.strikes === undefined ? String(usual) : String(given ?? '');
  return {
    input: policy.input,
    output: policy.output,
    onUnavailable: policy.on_unavailable,
    images: policy.images ?? 'fetch',
    shelf: policy.shelf ?? 'on',
    embeddings: policy.embeddings !== 'off',
    thresholds: policy.thresholds,
    hasStrikes: policy.strikes !== undefined,
    cooldownAfter: text(strikes.cooldown_after, STRIKES.cooldown_after),
    cooldownSeconds: text(strikes.cooldown_seconds, STRIKES.cooldown_seconds),
    suspendAfter: text(strikes.suspend_after, STRIKES.suspend_after),
    windowSeconds: text(strikes.window_seconds, STRIKES.window_seconds),
  };
}

/** A merge patch: null takes a field away. */
const patchOf = (draft: Draft) => ({
  input: draft.input,
  output: draft.output,
  on_unavailable: draft.onUnavailable,
  images: draft.images === 'fetch' ? null : 'data',
  shelf: draft.shelf === 'on' ? null : 'off',
  embeddings: draft.embeddings ? null : 'off',
  thresholds: Object.fromEntries(CATEGORIES.map((name) => [name, draft.thresholds[name] ?? null])),
  strikes: draft.hasStrikes
    ? {
        cooldown_after: wholeOf(draft.cooldownAfter, 1, STRIKES_MAX),
        cooldown_seconds: wholeOf(draft.cooldownSeconds, 1, SECONDS_MAX),
        suspend_after: wholeOf(draft.suspendAfter, 1, STRIKES_MAX),
        window_seconds: wholeOf(draft.windowSeconds, 1, SECONDS_MAX),
      }
    : null,
});

function mistakesIn(draft: Draft): NonNullable<Form<Draft>['mistakes']> {
  const check = (text: string, most: number): string | undefined =>
    text === '' || wholeOf(text, 1, most) ? undefined : `From 1 to ${most}`;
  return {
    cooldownAfter: check(draft.cooldownAfter, STRIKES_MAX),
    suspendAfter: check(draft.suspendAfter, STRIKES_MAX),
    cooldownSeconds: check(draft.cooldownSeconds, SECONDS_MAX),
    windowSeconds: check(draft.windowSeconds, SECONDS_MAX),
  };
}

export function PolicyTab({ campaign }: { campaign: CampaignView }) {
  const client = useQueryClient();
  const { draft, set, merge } = useDraft(draftOf(campaign.moderation as ModerationPolicy));
  const save = useMutation({
    mutationFn: () => write('PATCH', `/campaigns/${campaign.slug}`, { moderation: patchOf(draft) }),
    onSuccess: () => {
      notifications.show({ message: 'The policy holds for calls from now on.' });
      return client.invalidateQueries({ queryKey: ['campaign', campaign.slug] });
    },
  });
  const mistakes = draft.hasStrikes ? mistakesIn(draft) : {};
  const hasMistake = Object.values(mistakes).some(Boolean);
  const form: Form<Draft> = { draft, merge, mistakes };
  const isLoose = draft.input === 'off' || draft.output === 'off';
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (!hasMistake) save.mutate();
      }}
    >
      <section className="card" aria-labelledby="checks">
        <Title order={2} size="h5" id="checks">
          What is checked
        </Title>
        <div className="grid">
          <Field of={form} name="input" label="Prompts" data={INPUT_MODES} />
          <Field of={form} name="output" label="Answers" data={OUTPUT_MODES} />
          <Field
            of={form}
            name="onUnavailable"
            label="While nobody can check"
            data={[
              { value: 'closed', label: 'Refuse calls (closed)' },
              { value: 'open', label: 'Let calls through (open)' },
            ]}
          />
        </div>
        {isLoose && (
          <Text size="sm" mt="sm" className="warned">
            With “off” nobody looks at that part. You answer to the provider for what visitors send.
          </Text>
        )}
        <Stack gap="sm" mt="md">
          <Checkbox
            label="Daypass may fetch images by their address"
            description="Off: an image must be in the request itself."
            checked={draft.images === 'fetch'}
            onChange={(event) => set('images', event.currentTarget.checked ? 'fetch' : 'data')}
          />
          <Checkbox
            label="Daypass keeps responses and conversations for later requests"
            checked={draft.shelf === 'on'}
            onChange={(event) => set('shelf', event.currentTarget.checked ? 'on' : 'off')}
          />
          <Checkbox
            label="Inputs of embeddings are checked, too"
            checked={draft.embeddings}
            onChange={(event) => set('embeddings', event.currentTarget.checked)}
          />
        </Stack>
      </section>
      <section className="card" aria-labelledby="limits">
        <Title order={2} size="h5" id="limits">
          Limits by category
        </Title>
        <Text size="sm" className="dimmed" mb="sm">
          A score from 0 to 1 at which content is refused. Without a limit the judging model decides.
        </Text>
        <ul className="thresholds">
          {CATEGORIES.map((name) => (
            <Threshold
              key={name}
              name={name}
              value={draft.thresholds[name]}
              set={(value) => {
                const { [name]: _, ...others } = draft.thresholds;
                set('thresholds', value === undefined ? others : { ...others, [name]: value });
              }}
            />
          ))}
        </ul>
        <ReplayNote slug={campaign.slug} thresholds={draft.thresholds} />
      </section>
      <section className="card" aria-labelledby="strikes">
        <Title order={2} size="h5" id="strikes">
          Strikes
        </Title>
        <Checkbox
          label="Refused prompts count against a key"
          checked={draft.hasStrikes}
          onChange={(event) => set('hasStrikes', event.currentTarget.checked)}
        />
        {draft.hasStrikes && (
          <div className="grid fields-below">
            <Field
              of={form}
              name="cooldownAfter"
              inputMode="numeric"
              label="Rest after"
              description="Refused prompts; empty: never"
            />
            <Field of={form} name="cooldownSeconds" inputMode="numeric" label="Rest for" description="Seconds" />
            <Field
              of={form}
              name="suspendAfter"
              inputMode="numeric"
              label="Suspend after"
              description="Refused prompts; empty: never"
            />
            <Field of={form} name="windowSeconds" inputMode="numeric" label="Counted within" description="Seconds" />
          </div>
        )}
      </section>
      <FaultNote error={save.error} />
      <Group>
        <Button type="submit" loading={save.isPending} disabled={hasMistake}>
          Save the policy
        </Button>
      </Group>
    </form>
  );
}

function Threshold({
  name,
  value,
  set,
}: {
  name: Category;
  value: number | undefined;
  set: (value: number | undefined) => void;
}) {
  return (
    <li>
      <Checkbox
        label={name}
        checked={value !== undefined}
        onChange={(event) => set(event.currentTarget.checked ? USUAL_THRESHOLD : undefined)}
      />
      {value === undefined ? (
        <span className="dimmed">the model decides</span>
      ) : (
        <span className="range">
          <input
            type="range"
            min={0}
            max={1}
            step={0.01}
            value={value}
            aria-label={`Limit of ${name}`}
            onChange={(event) => set(Number(event.currentTarget.value))}
          />
          <output>{value.toFixed(2)}</output>
        </span>
      )}
    </li>
  );
}
