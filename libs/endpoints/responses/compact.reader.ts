import { DaypassError } from '#libs/contracts/errors.js';
import { compile } from '../compile.js';
import {
  MisshapenAnswer,
  type AnsweredTicket,
  type AnswerOf,
  type AnswerReader,
  type Report,
  type Shown,
  type Whole,
} from '../endpoint.js';
import { JSON_TYPE, STREAM_TYPE } from '../event.stream.js';
import { isObject, type JsonObject } from '../json.js';
import { objectOf } from '../misshapen.js';
import { RequestSight } from '../request.sight.js';
import { wellFormed } from '../surrogates.js';
import { COMPACT_ANSWER } from './compact.declaration.js';
import { ITEMS_MAX } from './items.declaration.js';
import { Life } from './life.js';
import { responseReplaced } from './redaction.js';
import { readUsage } from './usage.js';

const answer = compile(COMPACT_ANSWER);

/** Reads one compacted conversation. What of it is the visitor's own message is judged as what it is now: a part of an answer. */
export class CompactReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  readonly done = false;
  private readonly life: Life;

  constructor(ticket: AnsweredTicket, of: AnswerOf) {
    this.life = new Life(ticket, of);
  }

  whole(bytes: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    const text = new TextDecoder().decode(bytes);
    const { output, ...rest } = wellFormed(objectOf(text), text);
    if (!Array.isArray(output) || output.length > ITEMS_MAX || !output.some(isCompaction))
      throw new MisshapenAnswer('JSON that is no compaction');
    this.take(rest);
    const shown = { ...rest, id: this.life.id, object: 'response.compaction', output: this.life.items(output) };
    const sight = new RequestSight(true);
    answer.visit(shown, '', sight);
    const written = (json: JsonObject | null): Shown | null =>
      json && { contentType: JSON_TYPE, body: JSON.stringify(json) };
    return {
      contents: sight.contents(),
      provider: [],
      seen: [],
      shown: (replacements) => written(replacements.length > 0 ? responseReplaced(shown, replacements, answer) : shown),
      blocked,
    };
  }

  event = noStream;
  end = noStream;
  redacted = noStream;
  ending = noStream;

  private take({ usage, service_tier: tier, model }: JsonObject): void {
    this.report.metered = readUsage(usage);
    if (typeof tier === 'string') this.report.serviceTier = tier;
    if (typeof model === 'string') this.report.model = model;
  }
}

const isCompaction = (item: unknown): boolean =>
  isObject(item) && item.type === 'compaction' && typeof item.encrypted_content === 'string';

/** An answer without items would have the client forget its conversation. */
function blocked(categories: readonly string[] = []): Shown {
  const error = new DaypassError(
    'moderation_blocked',
    'Moderation took the compacted conversation away. The call was charged. Go on with the conversation as it is.',
    { details: { direction: 'output', categories } },
  );
  return { status: error.status, contentType: JSON_TYPE, body: JSON.stringify(error.body()) };
}

function noStream(): never {
  throw new Error('a compaction comes in one piece');
}
