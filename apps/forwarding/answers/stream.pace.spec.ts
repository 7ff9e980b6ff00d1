import { describe, expect, it } from '@jest/globals';
import { StreamPace } from './stream.pace.js';
import { readEvents, type StreamEvent } from './response.body.js';

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

describe('the events of a stream', () => {
  const read = async (pieces: readonly (string | Buffer)[]): Promise<{ events: StreamEvent[][]; pauses: number[] }> => {
    const said: (string | Buffer)[] = [];
    const [events, pauses]: [StreamEvent[][], number[]] = [[], []];
    async function* body(): AsyncGenerator<Uint8Array> {
      for (const piece of pieces) {
        said.push(piece);
        yield await Promise.resolve(Buffer.from(piece));
      }
    }
    const pause = (): Promise<void> => Promise.resolve(void pauses.push(said.length));
    for await (const batch of readEvents({ body: body() } as unknown as Response, pause)) events.push(batch);
    return { events, pauses };
  };
  const unnamed = (...data: string[]): StreamEvent[] => data.map((one) => ({ name: undefined, data: one }));

  it('come together where they came together, the first at once, and each part is paused after', async () => {
    const { events, pauses } = await read(['data: a\n\n', 'data: b\n\ndata: c\n\n', 'data: d\n\n', 'data: [DONE]\n\n']);
    expect(events).toEqual([unnamed('a'), unnamed('b', 'c'), unnamed('d'), unnamed('[DONE]')]);
    expect(pauses).toEqual([1, 2, 3, 4]);
  });

  it('are not paused for in the middle of one', async () => {
    const { events, pauses } = await read(['data: half', ' of it\n\n', 'data: [DONE]\n\n']);
    expect(events).toEqual([unnamed('half of it'), unnamed('[DONE]')]);
    expect(pauses).toEqual([2, 3]);
  });

  it('keep their names, and the last needs no blank line', async () => {
    const { events } = await read(['event: done\ndata: a\n\n', 'data: b']);
    expect(events).toEqual([[{ name: 'done', data: 'a' }], unnamed('b')]);
  });

  it('keep letters whose bytes came in two parts', async () => {
    const bytes = Buffer.from('data: é\n\n');
    const { events } = await read([bytes.subarray(0, 7), bytes.subarray(7)]);
    expect(events).toEqual([unnamed('é')]);
  });
});
