import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

/** A picture that differs from every other one of another number. */
const pictureOf = (number: number): Buffer => Buffer.concat([PNG, Buffer.from(`#${number}`)]);
export const dataUrlOf = (number: number): string => `data:image/png;base64,${pictureOf(number).toString('base64')}`;

export interface ImageServer {
  /** `127.0.0.1:port`. */
  host: string;
  /** The paths that were asked for. */
  asked: string[];
  /** Lets a test answer a path itself. */
  answers: Map<string, (response: ServerResponse) => void>;
  stop: () => Promise<void>;
}

/** Shows another picture at each request. */
export async function startImageServer(): Promise<ImageServer> {
  const asked: string[] = [];
  const answers: ImageServer['answers'] = new Map();
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://any').pathname;
    asked.push(path);
    const answer = answers.get(path);
    if (answer) answer(response);
    else response.end(pictureOf(asked.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answers,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
