import { campaignStateSchema, keyStateSchema } from '#libs/contracts/key-state.js';
import type {
  BudgetLevel,
  BytesAnswer,
  EndAnswer,
  HoldAnswer,
  KeyAfterRepeat,
  KeyAnswer,
  LookAnswer,
  NextCall,
  InquiryAnswer,
  RequestAnswer,
  StartAnswer,
} from './hold.types.js';

/** Reads the answer of `read-key`. */
export function readKeyAnswer(answer: unknown): KeyAnswer {
  const [code, , key, campaign, nowMs, requests, tokens] = answer as [string, string, string[], string[], ...string[]];
  if (code !== 'ok') return { code: code as 'recovering' | 'unknown' };
  return {
    code,
    key: keyStateSchema.parse(fields(key)),
    campaign: campaignStateSchema.parse(fields(campaign)),
    nowMs: Number(nowMs),
    windowRequests: Number(requests),
    windowTokens: Number(tokens),
  };
}

/** Reads the answer of `take-hold`. */
export function readHoldAnswer(answer: unknown): HoldAnswer {
  const [code, ...rest] = answer as [string, ...string[]];
  switch (code) {
    case 'ok':
      return {
        code,
        capTokens: Number(rest[0]),
        amountNano: BigInt(rest[1]!),
        nowMs: Number(rest[2]),
        availableNano: BigInt(rest[3]!),
        windowRequests: Number(rest[4]),
        windowTokens: Number(rest[5]),
        repeated: rest[6] === '1',
        day: Number(rest[7]),
      };
    case 'insufficient':
      return {
        code,
        level: rest[0] as BudgetLevel,
        freeNano: BigInt(rest[1]!),
        heldNano: BigInt(rest[2]!),
        needNano: BigInt(rest[3]!),
        period: (rest[4] ?? '') as '' | 'day' | 'total',
      };
    case 'busy':
      return { code, level: rest[0] as BudgetLevel };
    case 'concurrency':
      return { code, limit: Number(rest[0]) };
    case 'requests':
      return { code, limit: Number(rest[0]), waitMs: Number(rest[1]) };
    case 'tokens':
    case 'bytes':
      return { code, limit: Number(rest[0]), waitMs: Number(rest[1]), need: Number(rest[2]) };
    case 'stopped':
      return { code, sealed: rest[0]!, ...keyAfterRepeat(rest) };
    case 'answered':
      return { code, requestId: rest[0]!, ...keyAfterRepeat(rest) };
    case 'conflict':
    case 'recovering':
    case 'paused':
    case 'overloaded':
    case 'invalid':
    case 'suspended':
    case 'stale':
    case 'reused':
    case 'in_progress':
    case 'unanswered':
    case 'record':
    case 'files':
    case 'ready':
      return { code };
    default:
      throw new Error(`take-hold answered ${code}`);
  }
}

function keyAfterRepeat([, availableNano, requests, tokens]: string[]): KeyAfterRepeat {
  return { availableNano: BigInt(availableNano!), windowRequests: Number(requests), windowTokens: Number(tokens) };
}

/** Reads the answer of `take-inquiry`. */
export function readInquiryAnswer(answer: unknown): InquiryAnswer {
  const [code] = answer as [string, ...string[]];
  return code === 'ok'
    ? { code, ...keyAfterRepeat(answer as string[]) }
    : (readHoldAnswer(answer) as Exclude<InquiryAnswer, { code: 'ok' }>);
}

/** Reads the answer of `count-bytes`. */
export function readBytesAnswer(answer: unknown): 'ok' | BytesAnswer {
  const [code, limit, waitMs, need] = answer as [string, ...string[]];
  return code === 'ok' ? code : { code: 'bytes', limit: Number(limit), waitMs: Number(waitMs), need: Number(need) };
}

/** Reads the answer of `count-request`. */
export function readRequestAnswer(answer: unknown): RequestAnswer {
  const [code, limit, waitMs] = answer as [string, ...string[]];
  if (code !== 'requests') return readBytesAnswer(answer);
  return { code, limit: Number(limit), waitMs: Number(waitMs) };
}

/** Reads the answer of `start-call`. */
export function readStartAnswer(answer: unknown): StartAnswer {
  const [code, first, second, requests, tokens, upstream, failures] = answer as [string, ...string[]];
  switch (code) {
    case 'started':
      return {
        code,
        attempt: Number(first),
        nowMs: Number(second),
        laneRequests: Number(requests),
        laneTokens: Number(tokens),
        upstream: upstream!,
        failures: Number(failures),
      };
    case 'wait':
    case 'late':
      return { code, waitMs: Number(first), why: second as '' | 'failing' | 'account' };
    case 'too_large':
    case 'invalid':
    case 'suspended':
    case 'recovering':
      return { code };
    case 'ended':
      return { code, state: first! };
    case 'unsent':
      return { code, attempt: Number(first) };
    default:
      throw new Error(`start-call answered ${code}`);
  }
}

/** Reads the answer of `next-calls`. */
export function readLookAnswer(answer: unknown): LookAnswer {
  const [code, waiting, calls] = answer as [Buffer, number, [Buffer, Buffer, Buffer | null, Buffer[]][]];
  if (code.toString() === 'recovering') return { code: 'recovering' };
  return {
    code: 'looked',
    waiting,
    calls: calls.map(([id, ticket, body, start]) => ({
      requestId: id.toString(),
      ticket: ticket.toString(),
      encrypted: body && (body.length > 0 ? body : 'large'),
      start: readStartAnswer(start.map(String)) as NextCall['start'],
    })),
  };
}

/** Reads the answer of `end-hold`. */
export function readEndAnswer(answer: unknown): EndAnswer {
  const [outcome, state, paid, absorbed, available] = answer as [EndAnswer['outcome'], string, string, string, string];
  return {
    outcome,
    state,
    paidNano: BigInt(paid),
    absorbedNano: BigInt(absorbed),
    availableNano: BigInt(available),
  };
}

function fields(flat: string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) record[flat[i]!] = flat[i + 1]!;
  return record;
}
