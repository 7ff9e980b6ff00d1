import { Injectable } from '@nestjs/common';
import type { TooManyBytes } from '#libs/shelf/shelf.types.js';
import { KeyBytes } from '../door/key.bytes.js';
import { StepLine } from '../step.line.js';
import type { Visit } from './visit.js';

/** What the controllers of the shelf have in common. */
@Injectable()
export class ShelfDesk {
  constructor(
    private readonly keyBytes: KeyBytes,
    private readonly steps: StepLine,
  ) {}

  /** Runs synchronous work on a body. */
  step<T>({ owner, bodyBytes }: Visit, work: () => T | Promise<T>): Promise<T> {
    return this.steps.run(owner.keyId, bodyBytes, work);
  }

  /** What the shelf found. @throws DaypassError `rate_limit_exceeded` where it was too much for the key */
  found<T extends { code: string }>({ owner }: Visit, answer: T | TooManyBytes): T {
    if (isTooMuch(answer)) throw this.keyBytes.tooMany(owner.keyId, answer);
    return answer;
  }
}

const isTooMuch = (answer: { code: string }): answer is TooManyBytes => answer.code === 'bytes';
