import { describe, expect, it } from '@jest/globals';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Endpoint, Request } from '#libs/endpoints/endpoint.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import type { ReadBounds } from '#libs/shelf/shelf.types.js';
import type { Visitor } from '../door/authenticator.service.js';
import { BodyPlace } from '../door/body.room.js';
import type { KeyBytes } from '../door/key.bytes.js';
import { StepLine } from '../step.line.js';
import { NamedParts } from './named.parts.js';

const limits = { bodyBytes: 1_000, keyBytesPerHour: 77 } as DaypassConfig['limits'];
const visitor = { key: { id: 'k' } } as Visitor;

describe('what a call names', () => {
  it('is read within the bounds of its key, and takes room beside its own body', async () => {
    const asked: ReadBounds[] = [];
    const shelf = {
      find: (_: string, __: unknown, bounds: ReadBounds) => {
        asked.push(bounds);
        bounds.makeRoom!(300);
        return Promise.resolve({ code: 'found', found: { before: [], items: new Map() }, bytes: 300 });
      },
    } as unknown as ShelfStore;
    const taken: number[] = [];
    const place = new BodyPlace((bytes) => void taken.push(bytes));
    const request = { body: { json: {}, blobs: [] }, refs: [{ kind: 'item', id: 'a', param: 'input' }] };
    const wanted = {
      endpoint: { expand: (one: Request) => one } as unknown as Endpoint,
      request: request as unknown as Request,
      sent: { blobs: [], bytes: 10, isCounted: true, place },
    };
    const parts = new NamedParts(limits, shelf, new StepLine(), {} as KeyBytes);
    const policy = { input: 'off', output: 'off', thresholds: {}, onUnavailable: 'closed' } as const;
    expect(await parts.expanded(visitor, wanted, policy)).toMatchObject({ bytes: 310 });
    expect(asked).toEqual([expect.objectContaining({ keyBytesPerHour: 77, mostBytes: 2_000 })]);
    expect(taken).toEqual([300]);
    place.leave();
    expect(taken).toEqual([300, -300]);
  });
});
