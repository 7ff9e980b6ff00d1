import { flag, list, map, name, number, object, PROVIDER_ID, text, whole, word, type Fields } from './declaration.js';

/** What answers of several APIs have. */

/** As many as any answer has; a longer list is read all the same. */
export const MANY = Number.MAX_SAFE_INTEGER;

const TOKEN: Fields = { token: text, logprob: number(), bytes: list(whole(0, 255), MANY) };
export const LOGPROBS = list(object({ ...TOKEN, top_logprobs: list(object(TOKEN), MANY) }), MANY);

export const SERVED_TIER = word('auto', 'default', 'flex', 'scale', 'priority', 'fast');

/** OpenAI, "Moderation": categories such as `self-harm/intent`. */
const CATEGORY = /^[a-z-]{1,20}(\/[a-z-]{1,20})?$/;
export const MODERATED: Fields = {
  model: name(PROVIDER_ID),
  flagged: flag,
  categories: map(CATEGORY, flag, MANY),
  category_scores: map(CATEGORY, number(), MANY),
  category_applied_input_types: map(CATEGORY, list(word('text', 'image'), MANY), MANY),
};

/** Azure OpenAI, "Content filtering". */
const FILTER_FIELDS: Fields = { filtered: flag, detected: flag, severity: word('safe', 'low', 'medium', 'high') };
const FILTER = object(FILTER_FIELDS);
const CITED = object({ ...FILTER_FIELDS, citation: object({ URL: text, license: text }) });
export const FILTERS = object({
  hate: FILTER,
  self_harm: FILTER,
  sexual: FILTER,
  violence: FILTER,
  profanity: FILTER,
  jailbreak: FILTER,
  indirect_attack: FILTER,
  protected_material_text: CITED,
  protected_material_code: CITED,
});
export const FILTERED: Fields = {
  content_filter_results: FILTERS,
  content_filter_offsets: object({ check_offset: whole(), start_offset: whole(), end_offset: whole() }),
};
