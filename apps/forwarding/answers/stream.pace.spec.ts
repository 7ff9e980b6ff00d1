import { describe, expect, it } from '@jest/globals';
import { StreamPace } from './stream.pace.js';
import { readFrames } from '../attempt/upstream.client.js';

function paceOf(open: number): StreamPace {
  const pace = new StreamPace();
  for (let n = 0; n < open; n++) pace.join();
  return pace;
}

describe('the pace of streams', () => {
  it('reads a few as they come, many less often, and none less than twenty times a second', () => {
    expect([1, 30, 100, 500, 1_000, 50_000].map((open) => paceOf(open).pauseMs)).toEqual([0, 0, 5, 25, 50, 50]);
  });

  it('is for those that are open', async () => {
    const pace = paceOf(1_000);
    for (let n = 0; n < 990; n++) pace.leave();
    expect(pace.pauseMs).toBe(0);
    await pace.pause();
  });
});

describe('the frames of a stream', () => {
  const read = async (pieces: readonly string[]): Promise<{ frames: string[][]; pauses: number[] }> => {
    const said: string[] = [];
    const [frames, pauses]: [string[][], number[]] = [[], []];
    async function* body(): AsyncGenerator<Uint8Array> {
      for (const piece of pieces) {
        said.push(piece);
        yield await Promise.resolve(Buffer.from(piece));
      }
    }
    const pause = (): Promise<void> => Promise.resolve(void pauses.push(said.length));
    for await (const batch of readFrames({ body: body() } as unknown as Response, pause)) frames.push(batch);
    return { frames, pauses };
  };

  it('come together where they came together, the first at once', async () => {
    const { frames, pauses } = await read(['data: a\n\n', 'data: b\n\ndata: c\n\n', 'data: d\n\n', 'data: [DONE]\n\n']);
    expect(frames).toEqual([['a'], ['b', 'c'], ['d'], ['[DONE]']]);
    expect(pauses).toEqual([1, 2, 3]);
  });

  it('are not paused for in the middle of one, nor at the end', async () => {
    const { frames, pauses } = await read(['data: half', ' of it\n\n', 'data: [DONE]\n\n']);
    expect(frames).toEqual([['half of it'], ['[DONE]']]);
    expect(pauses).toEqual([2]);
  });
});
