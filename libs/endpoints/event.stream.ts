export const JSON_TYPE = 'application/json';
export const STREAM_TYPE = 'text/event-stream';

/** A comment of an event stream: clients skip it. */
export const streamComment = (text: string): string => `: ${text}\n\n`;
