import { KeyTurns, type TurnBounds } from '#libs/pacing/key.turns.js';
import type { Redis } from 'ioredis';
import type { DaypassError } from '#libs/contracts/errors.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineBinaryScript, type Script } from '#libs/redis/scripts.js';
import type { ShelvedItem } from '#libs/endpoints/shelved.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { itemsById, unpackEntry, type Entry } from './shelf.entry.js';
import { shelfUnavailable, tooManyReads, tooMuchNamed } from './shelf.faults.js';
import { CHAIN_MAX, type ReadBounds } from './shelf.types.js';

/** Each reading may have a key's whole shelf in memory. */
export const READ_TURNS: TurnBounds = {
  most: 8,
  mostOfKey: 2,
  waiting: 10_000,
  waitingOfKey: 256,
  tooMany: tooManyReads,
};

/** What `find-shelved` is asked for. */
export interface Names {
  names: readonly { kind: Kind; id: string }[];
  /** Which of an entry's bytes count: what it adds to a request, or all that it has. */
  measure: 'adds' | 'plain';
  page?: { after: string; size: number; descending: boolean };
}

type Kind = 'response' | 'conversation' | 'item' | 'optional' | 'record' | 'page' | 'member';

/** An item of an entry, by id; '': the entry as a whole. */
interface Chosen {
  itemId: string;
  entryId: string;
}

export interface Reading {
  code: 'ok';
  /** What a model reads before the request's own input, the oldest first. */
  before: readonly Chosen[];
  items: readonly Chosen[];
  entries: ReadonlyMap<string, Entry>;
  bytes: number;
  hasMore: boolean;
}

/** `index`: of what is named. `id`: what is missing. */
export type Missing = { code: 'missing' | 'broken' | 'long'; index: number; id: string };

/** Reads the shelf with one command, whatever is named. */
export class ShelfReader {
  private readonly script: Script;
  private readonly turns = new KeyTurns(READ_TURNS);

  constructor(
    redis: Redis,
    private readonly box: ContentBox,
  ) {
    this.script = defineBinaryScript(redis, 'find-shelved');
  }

  /** @throws DaypassError where Redis does not answer, and where what is named is too large, for a request or for the key */
  read(keyId: string, asked: Names, bounds: ReadBounds): Promise<Reading | Missing> {
    return this.turns.run(keyId, async () => {
      const answer = await this.ask(keyId, asked, bounds);
      const [code, ...rest] = answer;
      switch (String(code)) {
        case 'ok':
          return this.unpacked(keyId, rest as OkAnswer, bounds);
        case 'bytes': {
          const [limit, waitMs, need] = rest.map(Number) as [number, number, number];
          throw bounds.tooMany({ code: 'bytes', limit, waitMs, need });
        }
        case 'large':
          throw tooMuchNamed(Number(rest[0]));
        default:
          return { code: String(code) as Missing['code'], index: Number(rest[0]), id: String(rest[1]) };
      }
    });
  }

  private async ask(keyId: string, { names, measure, page }: Names, bounds: ReadBounds): Promise<Buffer[]> {
    const keys = [redisKeys.key(keyId), redisKeys.keyBytes(keyId)];
    const args = [
      redisKeys.shelfPrefix,
      keyId,
      bounds.keyBytesPerHour,
      measure,
      bounds.mostBytes,
      CHAIN_MAX,
      page?.after ?? '',
      page?.size ?? 0,
      page?.descending ? 1 : 0,
      ...names.flatMap(({ kind, id }) => [kind, id]),
    ];
    return (await this.script(keys, args).catch((): DaypassError => {
      throw shelfUnavailable();
    })) as Buffer[];
  }

  /** One entry after the other, so that a chain is never twice in memory. */
  private async unpacked(
    keyId: string,
    [before, items, packed, bytes, more]: OkAnswer,
    { makeRoom, step }: ReadBounds,
  ): Promise<Reading> {
    const sealed = triples(packed);
    makeRoom?.(sealed.reduce((sum, { plainBytes }) => sum + plainBytes, 0));
    const entries = new Map<string, Entry>();
    for (const one of sealed) entries.set(one.id, await unpackEntry(this.box, keyId, one, step));
    return {
      code: 'ok',
      before: chosenOf(before),
      items: chosenOf(items),
      entries,
      bytes: Number(bytes),
      hasMore: String(more) === '1',
    };
  }
}

/** Looks chosen items up, whole. Thousands of them may stand in one entry. */
export function itemsIn(entries: Reading['entries']): (chosen: Chosen) => readonly ShelvedItem[] {
  const byId = new Map<string, ReadonlyMap<string, ShelvedItem>>();
  return ({ itemId, entryId }) => {
    const entry = entries.get(entryId)!;
    if (itemId === '') return [...entry.input.map((item) => ({ item })), ...entry.output];
    const known = byId.get(entryId) ?? itemsById(entry);
    byId.set(entryId, known);
    const item = known.get(itemId);
    return item ? [item] : [];
  };
}

type OkAnswer = [before: Buffer[], items: Buffer[], entries: Buffer[], bytes: Buffer, more: Buffer];

function chosenOf(flat: readonly Buffer[]): Chosen[] {
  return Array.from({ length: flat.length / 2 }, (_, at) => ({
    itemId: String(flat[2 * at]),
    entryId: String(flat[2 * at + 1]),
  }));
}

function triples(flat: readonly Buffer[]): { id: string; plainBytes: number; sealed: Buffer }[] {
  return Array.from({ length: flat.length / 3 }, (_, at) => ({
    id: String(flat[3 * at]),
    plainBytes: Number(flat[3 * at + 1]),
    sealed: flat[3 * at + 2]!,
  }));
}
