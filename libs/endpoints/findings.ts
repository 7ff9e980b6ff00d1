/** Wherever a text holds `find`, `replace` stands in its place. */
export interface Replacement {
  find: string;
  replace: string;
}

/** What of a text is found. Where findings overlap, they are one: `replace` is that of the longest. */
export interface Found {
  at: number;
  end: number;
  replace: string;
  length: number;
}

const NONE = -1;
const ROOT = 0;

/**
 * Looks for many strings in one pass (Aho and Corasick 1975). The time grows with the length of the text plus that of
 * all strings, not with the product of both.
 */
class Findings {
  /** A hash table with the edges of the tree: from a node, by a UTF-16 unit, to a node. */
  private readonly edgeFrom: Int32Array;
  private readonly edgeBy: Uint16Array;
  private readonly edgeTo: Int32Array;
  /** By node: where the longest suffix of its string stands that is in the tree, too. */
  private readonly fallback: Int32Array;
  /** By node: the longest replacement whose `find` ends there. */
  private readonly ending: Int32Array;
  private nodes = 1;
  /** The unit that all strings begin with; absent: they begin with several. */
  private readonly first: string | undefined;

  constructor(private readonly replacements: readonly Replacement[]) {
    const characters = replacements.reduce((sum, { find }) => sum + find.length, 0);
    const slots = 2 ** Math.ceil(Math.log2(2 * characters + 2));
    this.edgeFrom = new Int32Array(slots).fill(NONE);
    this.edgeBy = new Uint16Array(slots);
    this.edgeTo = new Int32Array(slots);
    this.fallback = new Int32Array(characters + 1);
    this.ending = new Int32Array(characters + 1).fill(NONE);
    const firsts = new Set(replacements.map(({ find }) => find.slice(0, 1)));
    this.first = firsts.size === 1 ? [...firsts][0] : undefined;
    const parents = new Int32Array(characters + 1);
    const units = new Uint16Array(characters + 1);
    const byDepth: number[][] = [];
    for (const [index, { find }] of replacements.entries()) {
      let node = ROOT;
      for (let at = 0; at < find.length; at++) {
        const unit = find.charCodeAt(at);
        const slot = this.slotOf(node, unit);
        if (this.edgeFrom[slot] === NONE) {
          const added = this.nodes++;
          this.edgeFrom[slot] = node;
          this.edgeBy[slot] = unit;
          this.edgeTo[slot] = added;
          parents[added] = node;
          units[added] = unit;
          (byDepth[at] ??= []).push(added);
        }
        node = this.edgeTo[slot]!;
      }
      if (node !== ROOT && this.ending[node] === NONE) this.ending[node] = index;
    }
    for (const [depth, nodes] of byDepth.entries()) {
      for (const node of nodes) {
        if (depth > 0) this.fallback[node] = this.step(this.fallback[parents[node]!]!, units[node]!);
        if (this.ending[node] === NONE) this.ending[node] = this.ending[this.fallback[node]!]!;
      }
    }
  }

  /** In the order of the text; no two overlap. */
  in(text: string): Found[] {
    const all: Found[] = [];
    this.walk(text, (end, { find, replace }) => {
      let one = { at: end - find.length, end, replace, length: find.length };
      for (let last = all.at(-1); last && last.end > one.at; last = all.at(-1)) {
        all.pop();
        const longest = last.length >= one.length ? last : one;
        one = { ...longest, at: Math.min(last.at, one.at), end };
      }
      all.push(one);
      return true;
    });
    return all;
  }

  isIn(text: string): boolean {
    let isFound = false;
    this.walk(text, () => !(isFound = true));
    return isFound;
  }

  /** Tells the longest string that ends at each place, until it is told to stop. */
  private walk(text: string, tell: (end: number, found: Replacement) => boolean): void {
    let node = ROOT;
    for (let at = 0; at < text.length; at++) {
      if (node === ROOT && this.first !== undefined) {
        at = text.indexOf(this.first, at);
        if (at < 0) return;
      }
      node = this.step(node, text.charCodeAt(at));
      const found = this.ending[node]!;
      if (found !== NONE && !tell(at + 1, this.replacements[found]!)) return;
    }
  }

  private step(from: number, unit: number): number {
    for (let node = from; ; node = this.fallback[node]!) {
      const slot = this.slotOf(node, unit);
      if (this.edgeFrom[slot] !== NONE) return this.edgeTo[slot]!;
      if (node === ROOT) return ROOT;
    }
  }

  /** The slot of an edge, or the empty one where it belongs. */
  private slotOf(node: number, unit: number): number {
    const mask = this.edgeFrom.length - 1;
    let slot = (Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) >>> 7;
    for (slot &= mask; this.edgeFrom[slot] !== NONE; slot = (slot + 1) & mask)
      if (this.edgeFrom[slot] === node && this.edgeBy[slot] === unit) break;
    return slot;
  }
}

/** One list of replacements goes over all texts of a call. */
const built = new WeakMap<readonly Replacement[], Findings>();

function findingsOf(replacements: readonly Replacement[]): Findings {
  const former = built.get(replacements);
  if (former) return former;
  const findings = new Findings(replacements);
  built.set(replacements, findings);
  return findings;
}

/** What a text holds of it, in the order of the text. */
export function foundIn(text: string, replacements: readonly Replacement[]): Found[] {
  return replacements.length === 0 ? [] : findingsOf(replacements).in(text);
}

/** Whether a text holds something that was to be taken out of it. */
export function isAnyIn(texts: readonly string[], replacements: readonly Replacement[]): boolean {
  const lasting = replacements.filter(({ find, replace }) => !replace.includes(find));
  const findings = lasting.length === replacements.length ? findingsOf(replacements) : new Findings(lasting);
  return texts.some((text) => findings.isIn(text));
}

export function replacedIn(text: string, replacements: readonly Replacement[]): string {
  const found = foundIn(text, replacements);
  if (found.length === 0) return text;
  const parts: string[] = [];
  let from = 0;
  for (const { at, end, replace } of found) {
    parts.push(text.slice(from, at), replace);
    from = end;
  }
  return parts.join('') + text.slice(from);
}
