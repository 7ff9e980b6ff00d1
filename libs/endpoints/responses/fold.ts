import { isObject, type JsonObject } from '../json.js';
import { isLastType, isOfLife, outputOf, placeOf, type Place } from './places.js';

/** No answer has more items, nor more parts of one; what comes beyond is shown, and not folded. */
const ITEMS_MAX = 10_000;

/** The response as its visitor has seen it: what the shown events add up to. */
export class ShownResponse {
  /** As the last event of its life told it; null: none was shown. */
  head: JsonObject | null = null;
  /** Its last event was shown. */
  isOver = false;
  private readonly items = new Map<number, JsonObject>();
  private readonly open = new Set<number>();

  /** The event becomes part of it: nobody may change it afterwards. */
  take(event: JsonObject): void {
    const type = event.type as string;
    if (isOfLife(type)) {
      if (isObject(event.response)) this.head = event.response;
      this.isOver ||= isLastType(type);
      return;
    }
    const output = outputOf(event);
    const place = placeOf(type);
    if (output === undefined || !place || output >= ITEMS_MAX) return;
    if (place.field === 'item') this.putItem(output, event.item, type.endsWith('.done'));
    else {
      const item = this.items.get(output);
      const value = valueOf(event, place.field);
      if (item && value !== undefined) put(item, place.steps(event), value, place);
    }
  }

  /** Its items in their order; those that have not ended are incomplete. */
  get output(): JsonObject[] {
    return [...this.items]
      .sort(([one], [other]) => one - other)
      .map(([index, item]) => (this.open.has(index) ? { ...item, status: 'incomplete' } : item));
  }

  private putItem(output: number, item: unknown, isDone: boolean): void {
    if (!isObject(item)) return;
    this.items.set(output, item);
    if (isDone) this.open.delete(output);
    else this.open.add(output);
  }
}

function valueOf(event: JsonObject, field: string): unknown {
  if (field !== 'output.0') return event[field];
  return Array.isArray(event.output) ? (event.output as unknown[])[0] : undefined;
}

function put(item: JsonObject, steps: readonly (string | number)[], value: unknown, { appends, blank }: Place): void {
  let node: unknown = item;
  for (const [depth, step] of steps.entries()) {
    const isEnd = depth === steps.length - 1;
    const before = childOf(node, step);
    const made = isEnd ? (appends ? joined(before, value) : value) : (before ?? madeFor(steps[depth + 1], blank));
    if (made !== before && !setChild(node, step, made)) return;
    node = made;
  }
}

/** A list for what is counted, an object for what is named. */
const madeFor = (next: string | number | undefined, blank: Place['blank']): unknown =>
  typeof next === 'number' ? [] : (blank?.() ?? {});

function childOf(node: unknown, step: string | number): unknown {
  if (typeof step === 'number') return Array.isArray(node) ? (node as unknown[])[step] : undefined;
  return isObject(node) && Object.hasOwn(node, step) ? node[step] : undefined;
}

/** Lists grow by one, so that no index makes a long one. */
function setChild(node: unknown, step: string | number, value: unknown): boolean {
  if (typeof step === 'number') {
    if (!Array.isArray(node) || step < 0 || step > node.length || step >= ITEMS_MAX) return false;
    (node as unknown[])[step] = value;
    return true;
  }
  if (!isObject(node)) return false;
  node[step] = value;
  return true;
}

function joined(before: unknown, added: unknown): unknown {
  if (typeof before === 'string' && typeof added === 'string') return before + added;
  if (!isObject(before) || !isObject(added)) return added;
  const all = Object.entries(added).map(([name, value]) => [name, joined(before[name], value)] as const);
  return { ...before, ...Object.fromEntries(all) };
}
