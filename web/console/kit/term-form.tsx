import { Button, Group, NativeSelect } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { KeyView } from '#libs/contracts/admin/answers.js';
import { write } from '../api/client.ts';
import { isAmount } from './amounts.ts';
import { localOf, orNull, timeOf, useDraft, wholeOf, zoneName } from './draft.ts';
import { FaultNote } from './fault-note.tsx';
import { Field, type Form } from './field.tsx';

const LIMITS = {
  rpm: 'Requests a minute',
  tpm: 'Tokens a minute',
  concurrent: 'Calls at once',
  bytes_per_hour: 'Bytes an hour',
} as const;
/** Fields of a row stand in one line, whatever is said about them. */
const ORDER: ('label' | 'input' | 'description' | 'error')[] = ['label', 'input', 'description', 'error'];
type LimitName = keyof typeof LIMITS;
const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[];
const LIMIT_MAX = 999_999_999;

type Draft = Record<LimitName, string> & {
  label: string;
  budget: string;
  starts: string;
  expires: string;
  modelsFrom: 'campaign' | 'own';
  models: string;
};

const draftOf = (key: KeyView): Draft => ({
  label: key.label,
  budget: key.budget_usd,
  starts: localOf(key.starts_at),
  expires: localOf(key.expires_at),
  modelsFrom: key.models === null ? 'campaign' : 'own',
  models: (key.models ?? []).join(', '),
  rpm: String(key.limits.rpm ?? ''),
  tpm: String(key.limits.tpm ?? ''),
  concurrent: String(key.limits.concurrent ?? ''),
  bytes_per_hour: String(key.limits.bytes_per_hour ?? ''),
});

const modelsOf = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== '');

/** A merge patch with only what the reader changed: what somebody else changed meanwhile stays. */
export function patchOf(before: Draft, after: Draft): Record<string, unknown> {
  const isNew = (name: keyof Draft): boolean => before[name].trim() !== after[name].trim();
  const limits = Object.fromEntries(
    LIMIT_NAMES.filter(isNew).map((name) => [name, wholeOf(after[name], 0, LIMIT_MAX)]),
  );
  return {
    ...(isNew('label') ? { label: orNull(after.label) } : {}),
    ...(isNew('budget') ? { budget_usd: after.budget.trim() } : {}),
    ...(isNew('starts') ? { starts_at: timeOf(after.starts) } : {}),
    ...(isNew('expires') ? { expires_at: timeOf(after.expires) } : {}),
    ...(isNew('models') || isNew('modelsFrom')
      ? { models: after.modelsFrom === 'campaign' ? null : modelsOf(after.models) }
      : {}),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
  };
}

/** The terms of a key, changed where they stand. */
export function TermForm({ of: key }: { of: KeyView }) {
  const client = useQueryClient();
  const begin = draftOf(key);
  const { draft, set, merge } = useDraft(begin);
  const patch = patchOf(begin, draft);
  const save = useMutation({
    mutationFn: () => write<KeyView>('PATCH', `/keys/${key.id}`, patch),
    onSuccess: (after) => {
      client.setQueryData(['key', key.id], after);
      notifications.show({ message: 'The terms hold from the next call on.' });
      return client.invalidateQueries({ queryKey: ['list'] });
    },
  });
  const wrongLimit = (name: LimitName): boolean =>
    draft[name].trim() !== '' && wholeOf(draft[name], 0, LIMIT_MAX) === null;
  const isEmptyChoice = draft.modelsFrom === 'own' && modelsOf(draft.models).length === 0;
  const hasMistake = !isAmount(draft.budget) || LIMIT_NAMES.some(wrongLimit) || isEmptyChoice;
  const form: Form<Draft> = {
    draft,
    merge,
    mistakes: {
      budget: isAmount(draft.budget) ? undefined : 'Write an amount such as 0.50',
      models: isEmptyChoice ? 'Name a model' : undefined,
      ...Object.fromEntries(LIMIT_NAMES.filter(wrongLimit).map((name) => [name, 'A whole number'])),
    },
    error: save.error,
  };
  const isEnded = key.status === 'revoked';
  return (
    <form
      className="card"
      aria-label="Terms"
      onSubmit={(event) => {
        event.preventDefault();
        if (!hasMistake) save.mutate();
      }}
    >
      <h2>Terms</h2>
      <fieldset className="bare" disabled={isEnded}>
        <div className="grid">
          <Field of={form} name="label" at="label" inputWrapperOrder={ORDER} label="Label" maxLength={200} />
          <Field
            of={form}
            name="budget"
            at="budget_usd"
            inputWrapperOrder={ORDER}
            label="Budget in dollars"
            inputMode="decimal"
          />
          <Field
            of={form}
            name="starts"
            at="starts_at"
            inputWrapperOrder={ORDER}
            type="datetime-local"
            label={`Starts (${zoneName()})`}
            description="Empty: at once"
          />
          <Field
            of={form}
            name="expires"
            at={['expires_at', 'ttl_seconds']}
            inputWrapperOrder={ORDER}
            type="datetime-local"
            label={`Ends (${zoneName()})`}
            description={
              key.ttl_from_first_use_seconds !== null && key.first_used_at === null
                ? 'Its time begins with its first call'
                : 'Empty: never'
            }
          />
          <NativeSelect
            label="Models"
            value={draft.modelsFrom}
            data={[
              { value: 'campaign', label: 'Those of the campaign' },
              { value: 'own', label: 'Its own' },
            ]}
            onChange={(event) => set('modelsFrom', event.currentTarget.value as Draft['modelsFrom'])}
          />
          {draft.modelsFrom === 'own' && (
            <Field
              of={form}
              name="models"
              at="models"
              inputWrapperOrder={ORDER}
              label="Its own models"
              description="With commas between them"
            />
          )}
          {LIMIT_NAMES.map((name) => (
            <Field
              of={form}
              name={name}
              at={`limits.${name}`}
              inputWrapperOrder={ORDER}
              key={name}
              label={LIMITS[name]}
              description="0: no limit. Empty: as the campaign says."
              inputMode="numeric"
            />
          ))}
        </div>
        <FaultNote error={save.error} />
        <Group mt="md">
          <Button type="submit" loading={save.isPending} disabled={hasMistake || Object.keys(patch).length === 0}>
            Save the terms
          </Button>
        </Group>
      </fieldset>
      {key.moderation !== null && (
        <details className="more small">
          <summary>Its own policy of checks</summary>
          <pre className="json">{JSON.stringify(key.moderation, null, 2)}</pre>
        </details>
      )}
    </form>
  );
}
