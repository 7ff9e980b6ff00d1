import { randomBytes } from 'node:crypto';
import { MODERATION_CATEGORIES } from '#libs/contracts/policy.js';

/**
 * The rehearsal flags text with this phrase for violence, so that nobody must write anything vile to try moderation.
 */
export const FLAGGED_PHRASE = 'DAYPASS-REHEARSAL-FLAG';
const FLAGGED_SCORE = 0.99;
const CLEAN_SCORE = 0.0001;
const IMAGES_MAX = 1;

interface InputPart {
  type: string;
  text?: string;
  image_url?: { url?: string };
}

export interface ModerationBody {
  model?: string;
  input?: string | (string | InputPart)[];
}

/** As OpenAI: a string gives one result, an array of strings one each, an array of parts one merged result. */
export function moderate(body: ModerationBody): { status: number; answer: object } {
  const input = body.input;
  if (input === undefined || input.length === 0)
    return refusal("Missing required parameter: 'input'.", 'missing_required_parameter');
  if (typeof input === 'string') return verdicts(body, [resultOf(input, false)]);
  if (input.every((item) => typeof item === 'string'))
    return verdicts(
      body,
      input.map((text) => resultOf(text, false)),
    );
  const parts = input.filter((item) => typeof item !== 'string');
  const images = parts.filter((part) => part.type === 'image_url').length;
  if (images > IMAGES_MAX) return refusal(`At most ${IMAGES_MAX} image is allowed.`, 'too_many_images');
  return verdicts(body, [resultOf(parts.map(seenIn).join('\n'), images > 0)]);
}

/** Of a part: its text, or what the bytes of an image hold, such as the comment of a PNG. */
function seenIn({ text, image_url: image }: InputPart): string {
  const [, base64] = /^data:[^,]*;base64,(.*)$/s.exec(image?.url ?? '') ?? [];
  return text ?? (base64 === undefined ? '' : Buffer.from(base64, 'base64').toString('latin1'));
}

function verdicts(body: ModerationBody, results: object[]): { status: number; answer: object } {
  return {
    status: 200,
    answer: { id: `modr-${randomBytes(12).toString('hex')}`, model: body.model ?? 'omni-moderation-latest', results },
  };
}

function refusal(message: string, code: string): { status: number; answer: object } {
  return { status: 400, answer: { error: { message, type: 'invalid_request_error', param: 'input', code } } };
}

function resultOf(text: string, withImage: boolean): object {
  const flagged = text.includes(FLAGGED_PHRASE);
  const each = <T>(value: (category: string) => T): Record<string, T> =>
    Object.fromEntries(MODERATION_CATEGORIES.map((category) => [category, value(category)]));
  return {
    flagged,
    categories: each((category) => flagged && category === 'violence'),
    category_scores: each((category) => (flagged && category === 'violence' ? FLAGGED_SCORE : CLEAN_SCORE)),
    category_applied_input_types: each((category) =>
      withImage && /^(self-harm|sexual$|violence)/.test(category) ? ['text', 'image'] : ['text'],
    ),
  };
}
