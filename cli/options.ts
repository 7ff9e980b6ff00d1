import { InvalidArgumentError, Option } from 'commander';
import type { Fields } from './admin.api.js';
import { OPTIONS } from './commands.js';

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function whole(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
function seconds(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('Give a time such as 30m, 24h or 7d.');
  return Number(count) * UNIT_SECONDS[unit]!;
}
const moment = (sign: 1 | -1) => (text: string) => {
  const time = new Date(/^\d{4}-/.test(text) ? text : Date.now() + sign * seconds(text) * 1_000);
  if (Number.isNaN(time.getTime())) throw new InvalidArgumentError('Give a time such as 2026-12-01T08:00:00Z or 8h.');
  return time.toISOString();
};
const names = (text: string): string[] => text.split(',').map((name) => name.trim());
const READ: Readonly<Record<string, (text: string) => unknown>> = {
  ...{ '<number>': whole, '<time>': seconds, '<when>': moment(1), '<since>': moment(-1), '<names>': names },
  '<gate>': (text) => [text],
};

/** An option, and the field of the API that it sets. */
interface Wish {
  option: Option;
  field: string;
}

/** `note! each>key.budget_usd`: `!` stands behind what has to be there, and `>` before a field of another name. */
export function wishesOf(text: string): Wish[] {
  return [...text.matchAll(/([\w-]+)(!?)(?:>(\S+))?/g)].map(([, name, mark, into]) => {
    const known = OPTIONS.split('\n').find((line) => line.split(' ', 1)[0] === name);
    const [form = '', about] = known?.split(' | ') ?? [`${name} <${name}>`];
    const kind = /<.*>/.exec(form)?.[0] ?? '';
    const option = new Option(`--${name} ${kind}`.trim(), about).makeOptionMandatory(mark === '!');
    if (READ[kind]) option.argParser(READ[kind]);
    return { option, field: into ?? form.split(' ').at(-1)!.replaceAll(/[<>]/g, '') };
  });
}

/** Sets a field; with a dot in its name, one within an object. */
export function put(fields: Fields, name: string, value: unknown): void {
  const [first = '', ...rest] = name.split('.');
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return;
  if (rest.length === 0) fields[first] = value;
  else put((fields[first] ??= {}) as Fields, rest.join('.'), value);
}

export function fieldsOf(wishes: readonly Wish[], given: Readonly<Record<string, unknown>>): Fields {
  const fields: Fields = {};
  for (const { option, field } of wishes) put(fields, field, given[option.attributeName()]);
  return fields;
}
