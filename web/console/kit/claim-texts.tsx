import { Button, Group, Text } from '@mantine/core';
import { useRef, useState } from 'react';
import { orNull } from './draft.ts';
import { Field, type Form } from './field.tsx';

const LOGO_MAX_BYTES = 32 * 1_024;
const LOGO_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/svg+xml'];
const TEXT_MAX = 2_000;

/** The texts of a claim page, as fields hold them. */
export interface ClaimTexts {
  title: string;
  text: string;
  logo: string | null;
  project_url: string;
  open_url: string;
  contact: string;
  privacy_url: string;
  snippet_label: string;
  snippet_text: string;
}
export const NO_TEXTS: ClaimTexts = {
  title: '',
  text: '',
  logo: null,
  project_url: '',
  open_url: '',
  contact: '',
  privacy_url: '',
  snippet_label: '',
  snippet_text: '',
};

/** As `campaign.claim` takes it. */
export const claimOf = (texts: ClaimTexts) => ({
  title: texts.title.trim(),
  text: texts.text.trim(),
  logo: texts.logo,
  project_url: orNull(texts.project_url),
  open_url: orNull(texts.open_url),
  contact: orNull(texts.contact),
  privacy_url: orNull(texts.privacy_url),
  snippet: texts.snippet_text.trim()
    ? { label: texts.snippet_label.trim() || 'Start', text: texts.snippet_text.trim() }
    : null,
});

export function ClaimTextFields({ form }: { form: Form<ClaimTexts> }) {
  return (
    <div className="fields">
      <Field
        of={form}
        name="title"
        at="claim.title"
        label="Title"
        description="The headline of the claim page."
        required
        maxLength={200}
      />
      <Field
        of={form}
        name="text"
        at="claim.text"
        label="Text"
        description="Plain text, two sentences are enough."
        rows={3}
        maxLength={TEXT_MAX}
      />
      <Field
        of={form}
        name="project_url"
        at="claim.project_url"
        label="Project page"
        type="url"
        placeholder="https://example.org"
      />
      <Field
        of={form}
        name="contact"
        at="claim.contact"
        label="Contact"
        description="Where visitors turn when something does not work."
        placeholder="help@example.org"
        maxLength={300}
      />
    </div>
  );
}

export function MoreClaimFields({ form }: { form: Form<ClaimTexts> }) {
  return (
    <div className="fields">
      <Logo logo={form.draft.logo} set={(logo) => form.merge({ logo })} />
      <Field
        of={form}
        name="open_url"
        at="claim.open_url"
        label="Open the project"
        description="Daypass puts a one-time code where {code} stands."
        placeholder="https://app.example.org/#daypass={code}"
      />
      <Field
        of={form}
        name="privacy_url"
        at="claim.privacy_url"
        label="Privacy notice"
        type="url"
        placeholder="https://example.org/privacy"
      />
      <Field
        of={form}
        name="snippet_label"
        at="claim.snippet"
        label="Name of your snippet"
        placeholder="acme.toml"
        maxLength={60}
      />
      <Field
        of={form}
        name="snippet_text"
        at="claim.snippet"
        label="Snippet"
        description="{base_url}, {key} and {model} are filled in."
        rows={3}
        maxLength={4_000}
        className="mono"
      />
    </div>
  );
}

function Logo({ logo, set }: { logo: string | null; set: (logo: string | null) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState<string | null>(null);
  const read = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (!LOGO_TYPES.includes(file.type)) return setFault('Choose a PNG, JPEG, GIF, WebP or SVG picture.');
    if (file.size > LOGO_MAX_BYTES) return setFault('The picture has more than 32 kB. Choose a smaller one.');
    setFault(null);
    const bytes = new Uint8Array(await file.arrayBuffer());
    set(`data:${file.type};base64,${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}`);
    return undefined;
  };
  return (
    <div>
      <Text size="sm" fw={500} mb={4}>
        Logo
      </Text>
      <Group gap="sm">
        {logo && <img src={logo} alt="The logo" className="logo" />}
        <Button variant="default" onClick={() => input.current?.click()}>
          {logo ? 'Change the picture' : 'Choose a picture'}
        </Button>
        {logo && (
          <Button variant="subtle" onClick={() => set(null)}>
            Remove
          </Button>
        )}
        <input
          ref={input}
          type="file"
          hidden
          accept={LOGO_TYPES.join()}
          aria-label="Logo"
          onChange={(event) => void read(event.currentTarget.files?.[0])}
        />
      </Group>
      <Text size="xs" role="alert" className="fault">
        {fault}
      </Text>
    </div>
  );
}
