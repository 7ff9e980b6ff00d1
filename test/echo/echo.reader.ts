import { MisshapenAnswer, type AnswerReader, type Report, type Whole } from '#libs/endpoints/endpoint.js';
import { isObject } from '#libs/endpoints/json.js';
import { objectOf } from '#libs/endpoints/misshapen.js';

/** Reads an answer in one piece: numbers, and nothing that anybody could judge. */
export class EchoReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  readonly done = false;

  whole(bytes: Uint8Array): Whole {
    const { object, data, usage } = objectOf(new TextDecoder().decode(bytes));
    if (object !== 'echo' || !isNumbers(data)) throw new MisshapenAnswer('JSON that is no echo');
    const input = isObject(usage) ? usage.prompt_tokens : undefined;
    if (typeof input === 'number') this.report.metered = { input };
    const body = JSON.stringify({ object, data, usage: { prompt_tokens: input } });
    return {
      contents: [],
      provider: [],
      seen: [],
      shown: () => ({ contentType: 'application/json', body }),
      blocked: noOutput,
    };
  }

  event = noStream;
  end = noStream;
  redacted = noStream;
  ending = noStream;
}

const isNumbers = (data: unknown): boolean => Array.isArray(data) && data.every((one) => typeof one === 'number');

function noOutput(): never {
  throw new Error('an echo has no output that could be taken away');
}

export function noStream(): never {
  throw new Error('an echo comes in one piece');
}
