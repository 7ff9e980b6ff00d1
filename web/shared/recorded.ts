export interface Recorded {
  /** The mode in which inputs are judged. */
  input: string;
  output: string;
  /** null: for ever. */
  retention_days: number | null;
}

/** `Prompts and answers are checked, and kept for 30 days.` */
export function recordedWords({ input, output, retention_days }: Recorded): string {
  const checked = [input === 'off' ? '' : 'Prompts', output === 'off' ? '' : 'answers'].filter(Boolean).join(' and ');
  const days =
    retention_days === null
      ? 'kept until the operator deletes them'
      : `kept for ${retention_days === 1 ? 'one day' : `${retention_days} days`}`;
  if (checked === '') return `Prompts and answers are ${days}.`;
  const subject = checked === 'answers' ? 'Answers' : checked;
  return checked.includes(' and ')
    ? `${subject} are checked, and ${days}.`
    : `${subject} are checked. Prompts and answers are ${days}.`;
}
