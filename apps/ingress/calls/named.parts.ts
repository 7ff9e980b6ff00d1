import type { DaypassConfig } from '#libs/config/config.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Request } from '#libs/endpoints/endpoint.js';
import type { Found } from '#libs/endpoints/shelved.js';
import { refNotFound, tooMuchNamed } from '#libs/shelf/shelf.faults.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import type { FoundNames } from '#libs/shelf/shelf.types.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { KeyBytes } from '../door/key.bytes.js';
import type { StepLine } from '../step.line.js';
import type { Wanted } from './admission.js';

/** A client may name single items of large responses. So more is read than may go into the request. */
const READ_SHARE = 2;
const NOTHING: Found = { before: [], items: new Map() };

/** Puts contents in the place of what requests name. */
export class NamedParts {
  constructor(
    private readonly limits: DaypassConfig['limits'],
    private readonly shelf: ShelfStore,
    private readonly steps: StepLine,
    private readonly keyBytes: KeyBytes,
  ) {}

  /**
   * The same request with contents, which count among the bytes that the key sends. `bytes`: at most so many as JSON.
   * @throws DaypassError as `ShelfStore.find`, and where the request is too large with them
   */
  async expanded(
    { key }: Visitor,
    { endpoint, request, sent }: Pick<Wanted, 'endpoint' | 'request' | 'sent'>,
    { shelf }: CallPolicy,
  ): Promise<{ request: Request; bytes: number }> {
    const refs = request.refs ?? [];
    const { found, bytes } = shelf === 'off' ? nothingOf(refs) : await this.find(key.id, refs, sent);
    // What is named alone may also be a part of what it continues.
    const mostBytes = sent.bytes + (found.before.length > 0 && found.items.size > 0 ? 2 * bytes : bytes);
    const whole = await this.steps.run(key.id, mostBytes, () => endpoint.expand!(request, found));
    if (mostBytes > this.limits.bodyBytes) {
      const size = await this.steps.run(key.id, mostBytes, () => Buffer.byteLength(JSON.stringify(whole.body.json)));
      if (size > this.limits.bodyBytes) throw tooMuchNamed(size);
    }
    return { request: whole, bytes: mostBytes };
  }

  private find(keyId: string, refs: NonNullable<Request['refs']>, { place }: Wanted['sent']): Promise<FoundNames> {
    return this.shelf.find(keyId, refs, {
      keyBytesPerHour: this.limits.keyBytesPerHour,
      mostBytes: READ_SHARE * this.limits.bodyBytes,
      tooMany: (answer) => this.keyBytes.tooMany(keyId, answer),
      makeRoom: (bytes) => place?.grow(bytes),
      step: (bytes, work) => this.steps.run(keyId, bytes, work),
    });
  }
}

/** Nothing is kept: whatever has to be there is not found. */
function nothingOf(refs: NonNullable<Request['refs']>): FoundNames {
  const missing = refs.find(({ optional }) => !optional);
  if (missing) throw refNotFound(missing);
  return { found: NOTHING, bytes: 0 };
}
