import { isObject, type JsonObject } from './json.js';

/** What an upstream says in an error, in the words of OpenAI's error object. */
interface SpokenError {
  message: string;
  type?: string;
  param?: string;
  code?: string;
  /** Parameters that it does not know, by their names at the top of a request. */
  unknown?: string[];
  /** What Azure OpenAI's filters caught in the input. */
  filtered?: string[];
}

/** More is no message. */
const TEXT_MAX = 2_000;
const DETAILS_MAX = 20;
const PAGE = /<\s*(!doctype|html|head|body|title|h1|script|center|\?xml)\b/i;

/**
 * Reads the body of an error answer. It knows these shapes:
 * - OpenAI's error object, and the same fields at the top (vLLM). Azure OpenAI has what its filters caught inside of it.
 * - `detail`, a text or a list (FastAPI).
 * - `error`, a text (Ollama, TGI).
 * - Plain text.
 *
 * null: nobody speaks here, e.g. a proxy's page, which may name hosts.
 */
export function spokenError(text: string, contentType: string): SpokenError | null {
  const read = spokenIn(text, contentType);
  if (!read) return null;
  const { unknown: named = [], ...said } = read;
  const unknown = [...new Set([...named, ...unknownIn(said)])].slice(0, DETAILS_MAX);
  return unknown.length > 0 ? { ...said, unknown } : said;
}

function spokenIn(text: string, contentType: string): SpokenError | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return ofPlainText(text, contentType);
  }
  const first: unknown = Array.isArray(value) ? value[0] : value;
  if (!isObject(first)) return null;
  const { error, detail, message } = first;
  if (isObject(error)) return ofFields(error);
  if (typeof error === 'string' && error !== '') return ofFields({ ...first, message: error, type: first.error_type });
  if (Array.isArray(detail)) return ofDetails(detail);
  if (isObject(detail)) return ofFields(detail);
  if (typeof detail === 'string' && detail !== '') return { message: detail.slice(0, TEXT_MAX) };
  return typeof message === 'string' ? ofFields(first) : null;
}

const UNKNOWN_CODE = /^(unknown|unsupported|unrecognized|unexpected)_(parameter|argument|field)$/;
const FORBIDDEN = /^(extra_forbidden|value_error\.extra)$/;
/** Words that begin with what is wrong, or with the name: what a visitor wrote stands later in an error. */
const UNKNOWN_WORDS = [
  /^(?:unknown|unrecognized|unsupported|unexpected|extra)[a-z ]{0,40}(?:parameter|argument|field|property|input)[a-z ]{0,30}:? {0,2}['"`]?([a-z_]{1,64})['"`]?(?![\w.[])/i,
  /^(?:the )?(?:parameter|argument|field|property)? ?['"`]([a-z_]{1,64})['"`]:? is (?:not |un)(?:supported|permitted|allowed|recognized|known|expected)\b/i,
  /^([a-z_]{1,64}):? extra inputs are not permitted/i,
];
/** vLLM writes FastAPI's list as Python does. */
const PYTHON_LIST = /'type': 'extra_forbidden', 'loc': \('body', '([a-z_]{1,64})'\)/g;

function unknownIn({ code, param, message }: SpokenError): string[] {
  if (param !== undefined && UNKNOWN_CODE.test(code ?? '')) return [topOf(param)];
  const named = UNKNOWN_WORDS.flatMap((words) => words.exec(message)?.[1] ?? []);
  return [...named, ...[...message.matchAll(PYTHON_LIST)].map(([, name]) => name!)];
}

/** `stream_options.include_usage` is part of `stream_options`. */
const topOf = (param: string): string => /^[^.[]*/.exec(param)![0];

function forbiddenIn(detail: unknown): string[] {
  if (!isObject(detail) || typeof detail.type !== 'string' || !FORBIDDEN.test(detail.type)) return [];
  const [place, name] = Array.isArray(detail.loc) ? (detail.loc as unknown[]) : [];
  return place === 'body' && typeof name === 'string' ? [name] : [];
}

/** `innererror`, or `inner_error` of its images: each filter by its name. */
function filteredIn({ innererror, inner_error: ofImages = innererror }: JsonObject): string[] {
  if (!isObject(ofImages)) return [];
  const { content_filter_result: one, content_filter_results: many = one } = ofImages;
  if (!isObject(many)) return [];
  const caught = Object.entries(many).filter(
    ([name, filter]) => isFilter(name) && isObject(filter) && filter.filtered === true,
  );
  return caught.map(([name]) => name).slice(0, DETAILS_MAX);
}

const isFilter = (name: string): boolean => /^[a-z_]{1,64}$/.test(name);

function ofFields(fields: JsonObject): SpokenError | null {
  const { message, type, param, code } = fields;
  const filtered = filteredIn(fields);
  const words = { type, param, code: typeof code === 'number' ? undefined : code };
  const said = typeof message === 'string' ? message.slice(0, TEXT_MAX) : '';
  const given = Object.entries(words).filter(([, word]) => typeof word === 'string' && word !== '') as [
    'type' | 'param' | 'code',
    string,
  ][];
  if (said === '' && given.length === 0) return null;
  return {
    message: said,
    ...Object.fromEntries(given.map(([name, word]) => [name, word.slice(0, TEXT_MAX)])),
    ...(filtered.length > 0 ? { filtered } : {}),
  };
}

/** `{ loc: ['body', 'messages', 0], msg, type }` becomes `messages.0: msg`. */
function ofDetails(details: readonly unknown[]): SpokenError | null {
  const read = details.slice(0, DETAILS_MAX).flatMap((detail) => {
    if (typeof detail === 'string') return [{ message: detail, param: '', code: undefined }];
    if (!isObject(detail) || typeof detail.msg !== 'string') return [];
    const loc = Array.isArray(detail.loc) ? (detail.loc as unknown[]) : [];
    const path = loc.filter((step, index) => index > 0 || step !== 'body').filter(isStep);
    const param = path.join('.').slice(0, TEXT_MAX);
    return [{ message: param === '' ? detail.msg : `${param}: ${detail.msg}`, param, code: detail.type }];
  });
  const [first] = read;
  if (!first) return null;
  const message = read.map((one) => one.message).join('; ');
  return {
    message: message.slice(0, TEXT_MAX),
    unknown: details.slice(0, DETAILS_MAX).flatMap(forbiddenIn),
    ...(first.param === '' ? {} : { param: first.param }),
    ...(typeof first.code === 'string' ? { code: first.code.slice(0, TEXT_MAX) } : {}),
  };
}

const isStep = (step: unknown): step is string | number => typeof step === 'string' || typeof step === 'number';

function ofPlainText(text: string, contentType: string): SpokenError | null {
  const isText = contentType === '' || /^text\/plain\b/i.test(contentType);
  const message = text.trim();
  if (!isText || message === '' || PAGE.test(message) || /^\s*[[{]/.test(message)) return null;
  return { message: message.slice(0, TEXT_MAX) };
}

/** OpenAI's words for it, which its client may put behind the status. */
const TOO_LARGE = /^(?:429 )?request too large\b/i;

/**
 * Whether a 429 is about a request above the whole limit: "Limit 30000, Requested 40000". No wait makes room for it. A
 * used part of the limit is named between the two.
 */
export function isTooLarge(message: string): boolean {
  const [, limit] = /\blimit:?\s+(\d[\d,]{0,15})/i.exec(message) ?? [];
  const [, requested] = /\brequested:?\s+(\d[\d,]{0,15})/i.exec(message) ?? [];
  const count = (digits: string): number => Number(digits.replaceAll(',', ''));
  return limit !== undefined && requested !== undefined ? count(requested) > count(limit) : TOO_LARGE.test(message);
}
