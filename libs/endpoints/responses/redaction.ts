import type { Compiled, Put } from '../compile.js';
import { replacedIn, StreamTexts, type Replacement } from '../content.js';
import { encodedReplaced, openReplaced } from '../encoded.js';
import { isObject, type JsonObject } from '../json.js';
import { answer, eventShape, isDeclared, pathsOf, type Paths } from './answer.texts.js';

/** The response with its texts replaced. null: something cannot be taken out of it. `shape`: what is known of it. */
export function responseReplaced(
  response: JsonObject,
  replacements: readonly Replacement[],
  shape: Compiled = answer,
): JsonObject | null {
  const put = new Replacing(replacements);
  const replaced = shape.replaced(response, '', put) as JsonObject;
  return put.isWhole ? (withoutTokens(replaced) as JsonObject) : null;
}

/**
 * Events with their texts replaced. A text may begin in one event and end in another. A text that changes
 * goes as a whole into the first event that held some of it. null: something cannot be taken out of them.
 */
export function eventsReplaced(
  events: readonly JsonObject[],
  replacements: readonly Replacement[],
): readonly JsonObject[] | null {
  const changed = changedTexts(events, replacements);
  if (changed === null) return null;
  const put = new Replacing(replacements, changed);
  const replaced = events.map((event) => {
    const { sequence_number: _, ...rest } = event;
    put.paths = pathsOf(event);
    const shape = isDeclared(event.type) ? eventShape.replaced(rest, '', put) : openReplaced(rest, '', put);
    return withoutTokens(shape) as JsonObject;
  });
  return put.isWhole ? replaced : null;
}

/** By path, the texts that several events add up to, and that change. null: something cannot be taken out. */
function changedTexts(events: readonly JsonObject[], replacements: readonly Replacement[]): Map<string, string> | null {
  const texts = new StreamTexts();
  for (const event of events) {
    const paths = pathsOf(event);
    if (!paths.appends('delta')) continue;
    const add = (path: string, text: string, encoded?: true): void => {
      if (paths.appends(path)) texts.add([{ path: paths.of(path), text, ...(encoded && { encoded }) }]);
    };
    eventShape.visit(event, '', {
      text: add,
      encoded: (path, text) => add(path, text, true),
      open: () => undefined,
      unknown: () => undefined,
      name: () => undefined,
      image: () => undefined,
    });
  }
  const changed = new Map<string, string>();
  for (const { path, text, encoded } of texts.byPath()) {
    const replaced = encoded ? encodedReplaced(text, replacements) : replacedIn(text, replacements);
    if (replaced === null) return null;
    if (replaced !== text) changed.set(path, replaced);
  }
  return changed;
}

class Replacing implements Put {
  paths: Paths | null = null;
  isWhole = true;
  private readonly given = new Set<string>();

  constructor(
    private readonly replacements: readonly Replacement[],
    private readonly changed: ReadonlyMap<string, string> = new Map(),
  ) {}

  text(path: string, text: string): string {
    return this.ofParts(path) ?? replacedIn(text, this.replacements);
  }

  key(name: string): string {
    return replacedIn(name, this.replacements);
  }

  encoded(path: string, text: string): string {
    const part = this.ofParts(path);
    if (part !== undefined) return part;
    // A part of JSON is replaced as what all its parts add up to.
    if (this.paths?.appends(path)) return text;
    const replaced = encodedReplaced(text, this.replacements);
    this.isWhole &&= replaced !== null;
    return replaced ?? text;
  }

  /** Where several events add up to a text that changes: all of it, once. */
  private ofParts(path: string): string | undefined {
    if (!this.paths?.appends(path)) return undefined;
    const at = this.paths.of(path);
    const whole = this.changed.get(at);
    if (whole === undefined || this.given.has(at)) return whole && '';
    this.given.add(at);
    return whole;
  }
}

/** Tokens beside a text would show what was taken out of it. */
function withoutTokens(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutTokens);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      name === 'logprobs' && Array.isArray(inner) ? [] : withoutTokens(inner),
    ]),
  );
}
