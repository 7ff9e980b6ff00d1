import { NativeSelect, TextInput, Textarea, type TextInputProps } from '@mantine/core';
import { faultAt } from '../api/client.ts';

/** A form whose fields hold texts. */
export interface Form<T> {
  draft: T;
  merge: (change: Partial<T>) => void;
  /** What is wrong, by field, before anybody sends it. */
  mistakes?: Partial<Record<keyof T, string | undefined>>;
  /** What the API answered. */
  error?: unknown;
}

type TextsOf<T> = { [Name in keyof T]: T[Name] extends string ? Name : never }[keyof T];

type Props<T> = Pick<
  TextInputProps,
  | 'className'
  | 'description'
  | 'disabled'
  | 'inputMode'
  | 'inputWrapperOrder'
  | 'label'
  | 'maxLength'
  | 'placeholder'
  | 'required'
  | 'type'
> & {
  of: Form<T>;
  name: TextsOf<T>;
  /** The fields of the API whose faults belong here. */
  at?: string | readonly string[];
  /** A choice. */
  data?: readonly { value: string; label: string }[];
  /** Several lines. */
  rows?: number;
  'data-autofocus'?: boolean;
};

/** A text of a form, with what is wrong with it. */
export function Field<T>({
  of: { draft, merge, mistakes, error },
  name,
  at = [],
  data,
  rows,
  type,
  ...shown
}: Props<T>) {
  const field = {
    ...shown,
    value: draft[name] as string,
    error: mistakes?.[name] ?? faultAt(error, ...[at].flat()),
    onChange: (event: { currentTarget: { value: string } }) =>
      merge({ [name]: event.currentTarget.value } as Partial<T>),
  };
  if (data) return <NativeSelect {...field} data={[...data]} />;
  if (rows !== undefined) return <Textarea {...field} rows={rows} />;
  return <TextInput {...field} {...(type === undefined ? {} : { type })} />;
}
