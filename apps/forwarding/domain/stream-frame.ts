/** One `data:` frame of a chat stream, as far as Daypass looks into it. */
export interface StreamFrame {
  /** What the visitor gets: the upstream's own bytes, unless usage was only asked for by Daypass. Empty: nothing. */
  text: string;
  chunk: Record<string, unknown> | null;
  usage: unknown;
  serviceTier: string | undefined;
  /** The upstream's error object, where one came in mid-stream. */
  error: Record<string, unknown> | null;
  done: boolean;
  /** It says how a choice, or the stream, ended. */
  closing: boolean;
}

/** Reads a frame. Usage that the visitor did not ask for is taken out again, so that the stream looks as OpenAI's would. */
export function readFrame(data: string, includeUsage: boolean): StreamFrame {
  const frame: StreamFrame = {
    text: `data: ${data}\n\n`,
    chunk: null,
    usage: undefined,
    serviceTier: undefined,
    error: null,
    done: data === '[DONE]',
    closing: data === '[DONE]',
  };
  if (frame.done) return frame;
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch {
    // Not JSON: nothing of it can be judged, so nothing of it is shown.
    return { ...frame, text: '' };
  }
  if (typeof chunk !== 'object' || chunk === null) return { ...frame, text: '' };
  const record = chunk as Record<string, unknown>;
  if (record.error !== undefined && record.error !== null)
    return { ...frame, text: '', error: record.error as Record<string, unknown> };
  frame.chunk = record;
  frame.usage = record.usage;
  frame.closing = (
    Array.isArray(record.choices) ? (record.choices as ({ finish_reason?: unknown } | null)[]) : []
  ).some((choice) => typeof choice?.finish_reason === 'string');
  if (typeof record.service_tier === 'string') frame.serviceTier = record.service_tier;
  if (!includeUsage && 'usage' in record) {
    const { usage: _, ...rest } = record;
    const onlyUsage = Array.isArray(record.choices) && record.choices.length === 0 && record.usage !== null;
    frame.text = onlyUsage ? '' : `data: ${JSON.stringify(rest)}\n\n`;
  }
  return frame;
}
