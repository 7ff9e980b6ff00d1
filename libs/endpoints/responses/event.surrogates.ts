import { isObject, wellFormedDeep, type JsonObject } from '../json.js';
import { mayHoldHalf, PairJoiner } from '../surrogates.js';
import { pathsOf } from './answer.texts.js';

/** Joins surrogate pairs whose halves come in two events. */
export class EventSurrogates {
  private readonly pairs = new PairJoiner();

  /** The event without halves; `data`: as the upstream wrote it. */
  mended(event: JsonObject, data: string): JsonObject {
    if (!this.pairs.waits && !mayHoldHalf(data)) return event;
    const paths = pathsOf(event);
    if (!paths.appends('delta')) return wellFormedDeep(event) as JsonObject;
    const { delta } = event;
    const appended = paths.of('delta');
    const mended =
      typeof delta === 'string'
        ? this.pairs.joined(appended, delta)
        : isObject(delta)
          ? Object.fromEntries(Object.entries(delta).map(([name, text]) => [name, this.ofField(appended, name, text)]))
          : delta;
    return wellFormedDeep({ ...event, delta: mended }) as JsonObject;
  }

  private ofField(path: string, name: string, text: unknown): unknown {
    return typeof text === 'string' ? this.pairs.joined(`${path}.${name}`, text) : text;
  }
}
