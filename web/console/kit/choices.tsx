interface Props<T extends string> {
  /** What is chosen, for who does not see it. */
  name: string;
  choices: readonly { value: T; label: string }[];
  value: T;
  choose: (value: T) => void;
}

/** A few choices side by side, of which one holds. */
export function Choices<T extends string>({ name, choices, value, choose }: Props<T>) {
  return (
    <fieldset className="choices" aria-label={name}>
      {choices.map((choice) => (
        <button
          key={choice.value}
          type="button"
          aria-pressed={choice.value === value}
          onClick={() => choose(choice.value)}
        >
          {choice.label}
        </button>
      ))}
    </fieldset>
  );
}
