import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createSocket, type Socket } from 'node:dgram';
import { Resolver, type LookupAddress } from 'node:dns';
import { EventEmitter } from 'node:events';
import http, { createServer, type ClientRequest, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, LookupFunction } from 'node:net';
import { ImageAddresses } from './image.addresses.js';
import { ImageFetcher, lookupBy, publicOnly } from './image.fetcher.js';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const HEADS = {
  png: PNG,
  jpeg: Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70, 0, 1]),
  gif: Buffer.from('GIF89a\x01\0\x01\0\x80\0\0\xff', 'latin1'),
  webp: Buffer.from('RIFF\x24\0\0\0WEBPVP8 ', 'latin1'),
};

describe('an image of an address', () => {
  let server: Server;
  let origin: string;
  let asked: string[];
  let answer: (path: string, response: ServerResponse) => void;

  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(`${request.headers.host}${request.url}`);
      answer(request.url!, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    asked = [];
  });
  afterEach(() => {
    asked = [];
    server.closeAllConnections();
  });
  afterAll(() => {
    server.close();
  });

  const fetcherOf = (hostsAllowed: string[], lookup?: LookupFunction): ImageFetcher =>
    new ImageFetcher(new ImageAddresses(hostsAllowed), lookup);
  const fetched = (url: string, { mostBytes = 2_000_000, timeoutMs = 2_000, fetcher = fetcherOf([origin]) } = {}) => {
    let left = mostBytes;
    return fetcher.fetch(url, { take: (bytes) => (left -= bytes) >= 0, signal: AbortSignal.timeout(timeoutMs) });
  };
  /** Names are what the test says that they are. */
  const resolving = (...addresses: string[]): LookupFunction => {
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    return (_, { all }, callback) =>
      all ? callback(null, found) : callback(null, found[0]!.address, found[0]!.family);
  };

  it.each(Object.entries(HEADS))('is what its first bytes say, whatever its header says: %s', async (type, bytes) => {
    answer = (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(bytes);
    expect(await fetched(`http://${origin}/a`)).toBe(`data:image/${type};base64,${bytes.toString('base64')}`);
  });

  it.each([
    ['a page', Buffer.from('<html>an admin page</html>')],
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['nothing', Buffer.alloc(0)],
    ['too short', PNG.subarray(0, 8)],
  ])('is not %s', async (_, bytes) => {
    answer = (__, response) => response.writeHead(200, { 'content-type': 'image/png' }).end(bytes);
    await expect(fetched(`http://${origin}/a`)).rejects.toMatchObject({ fault: 'not_an_image' });
  });

  it.each([204, 206, 304, 401, 404, 500])('is not there where its server answers %i', async (status) => {
    answer = (_, response) => response.writeHead(status).end();
    await expect(fetched(`http://${origin}/a`)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it('has an end of its size: a body without an end is hung up on', async () => {
    let hungUp = false;
    answer = (_, response) => {
      response.on('close', () => (hungUp = true));
      response.write(PNG);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    };
    await expect(fetched(`http://${origin}/a`, { timeoutMs: 20_000 })).rejects.toMatchObject({ fault: 'too_large' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(hungUp).toBe(true);
  });

  it('does not come in crumbs without a bound, and crumbs count as much as they cost', async () => {
    answer = (_, response) => {
      // Chunks of one byte each.
      response.write(PNG, () => response.socket!.write('1\r\nx\r\n'.repeat(1_000_000)));
    };
    let taken = 0;
    const take = (bytes: number): boolean => (taken += bytes) > 0;
    const signal = AbortSignal.timeout(2_000);
    await expect(fetcherOf([origin]).fetch(`http://${origin}/a`, { take, signal })).rejects.toMatchObject({
      fault: 'unreachable',
    });
    expect(taken).toBeGreaterThan(2_000_000);
  });

  it.each([
    ['says nothing', () => undefined],
    ['drips', (response: ServerResponse) => void response.write(PNG)],
  ])('has an end of its time: a server that %s', async (_, does: (response: ServerResponse) => void) => {
    answer = (__, response) => does(response);
    await expect(fetched(`http://${origin}/a`, { timeoutMs: 200 })).rejects.toMatchObject({ fault: 'too_slow' });
  });

  it('is not the half of one whose server broke off', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': 10_000 }).write(PNG, () => response.destroy());
    };
    await expect(fetched(`http://${origin}/a`)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  const SWITCHES = 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';
  it.each(['/', '/redirect'])(
    'is not where a server switches to another protocol (%s), which Node takes for no error',
    async (first) => {
      answer = (path, response) => {
        if (path === '/redirect') response.writeHead(302, { location: '/' }).end();
        else response.socket!.write(SWITCHES);
      };
      const begunMs = performance.now();
      await expect(fetched(`http://${origin}${first}`)).rejects.toMatchObject({ fault: 'unreachable' });
      expect(performance.now() - begunMs).toBeLessThan(1_900);
    },
  );

  it('is not where a server says ever more before its answer', async () => {
    const hint = 'HTTP/1.1 103 Early Hints\r\n\r\n';
    answer = (_, response) => {
      const hints = setInterval(() => response.socket?.write(hint), 5);
      response.on('close', () => clearInterval(hints));
    };
    let taken = 0;
    const take = (bytes: number): boolean => (taken += bytes) > 0;
    const signal = AbortSignal.timeout(2_000);
    await expect(fetcherOf([origin]).fetch(`http://${origin}/a`, { take, signal })).rejects.toMatchObject({
      fault: 'unreachable',
    });
    expect(taken).toBe(2_097_152);
    answer = (_, response) => void response.socket!.write(hint.repeat(3), () => response.end(PNG));
    expect(await fetched(`http://${origin}/a`)).toContain('image/png');
  });

  it('has an end of its time, should a request never say that it ended', async () => {
    const asking = jest.spyOn(http, 'get').mockReturnValue(new EventEmitter() as ClientRequest);
    try {
      await expect(fetched(`http://${origin}/a`, { timeoutMs: 100 })).rejects.toMatchObject({ fault: 'too_slow' });
    } finally {
      asking.mockRestore();
    }
  });

  it('is found where redirects lead to it, as long as they are few', async () => {
    answer = (path, response) => {
      const left = Number(path.slice(1));
      if (left === 0) response.end(PNG);
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    };
    expect(await fetched(`http://${origin}/3`)).toContain('image/png');
    await expect(fetched(`http://${origin}/4`)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it.each(['http://169.254.169.254/', 'http://127.0.0.1/', 'http://localhost/', 'file:///etc/passwd', 'http://[::1]/'])(
    'is not where a redirect leads to %s',
    async (location) => {
      answer = (_, response) => response.writeHead(302, { location }).end();
      await expect(fetched(`http://${origin}/a`)).rejects.toMatchObject({ fault: 'unreachable' });
      expect(asked).toEqual([`${origin}/a`]);
    },
  );

  it('is not where a redirect leads to another port, which nobody looks up', async () => {
    answer = (_, response) => response.writeHead(302, { location: 'http://pictures.example:6379/' }).end();
    const names: string[] = [];
    const lookup: LookupFunction = (name, _, callback) => {
      names.push(name);
      callback(new Error('nobody knows this name'), []);
    };
    const fetcher = fetcherOf([origin], lookup);
    await expect(fetched(`http://${origin}/a`, { fetcher })).rejects.toMatchObject({ fault: 'unreachable' });
    expect(names).toEqual([]);
  });

  it('is not at a public name that resolves to a private address, even to one of several', async () => {
    const port = new URL(`http://${origin}`).port;
    answer = (_, response) => response.end(PNG);
    for (const addresses of [
      ['127.0.0.1'],
      ['169.254.169.254'],
      ['::1'],
      ['8.8.8.8', '127.0.0.1'],
      ['168.63.129.16'],
    ]) {
      // The port is let through, so that only what the name resolves to is left to be refused.
      const addressesOf = { fault: () => null, isAllowed: () => false } as unknown as ImageAddresses;
      const fetcher = new ImageFetcher(addressesOf, resolving(...addresses));
      await expect(fetched(`http://pictures.example:${port}/a`, { fetcher })).rejects.toMatchObject({
        fault: 'unreachable',
      });
    }
    expect(asked).toEqual([]);
  });

  it.each([true, false])('is at no address that a URL may not have, should a name resolve to it (all: %s)', (all) => {
    const found = (...addresses: string[]): Error | null => {
      let fault: Error | null = null;
      publicOnly(resolving(...addresses))('pictures.example', { all }, (error) => (fault = error));
      return fault;
    };
    expect([found('8.8.8.8'), found('2606:4700::1111', '8.8.8.8')]).toEqual([null, null]);
    for (const address of [
      '::7f00:1',
      '::127.0.0.1',
      '::ffff:8.8.8.8',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      '10.0.0.1',
    ]) {
      expect(found(address)?.message).toContain('not public');
    }
    if (all) expect(found('8.8.8.8', '::7f00:1')?.message).toContain('not public');
  });

  it('is not where nobody knows the name', async () => {
    const nobody: LookupFunction = (_, __, callback) => callback(new Error('nobody'), undefined as unknown as string);
    const fetcher = fetcherOf([], nobody);
    await expect(fetched('http://pictures.example/a', { fetcher })).rejects.toMatchObject({ fault: 'unreachable' });
  });

  it('is not at a literal private address either, should an earlier check have let it through', async () => {
    const addressesOf = { fault: () => null, isAllowed: () => false } as unknown as ImageAddresses;
    answer = (_, response) => response.end(PNG);
    await expect(fetched(`http://${origin}/a`, { fetcher: new ImageFetcher(addressesOf) })).rejects.toMatchObject({
      fault: 'unreachable',
    });
    expect(asked).toEqual([]);
  });
});

const [A, AAAA] = [1, 28];
const RECORDS: Record<number, Buffer> = {
  [A]: Buffer.from([8, 8, 4, 4]),
  [AAAA]: Buffer.from('20010db8000000000000000000000001', 'hex'),
};

/** Answers each question about `both.example` and `four.example`, and says of all other names that there are none. */
function answerTo(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const type = question.readUInt16BE(end - 4);
  const name = question.toString('latin1', 12, end);
  const record = name.includes('both') || (name.includes('four') && type === A) ? RECORDS[type] : undefined;
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(name.includes('both') || name.includes('four') ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(record ? 1 : 0, 6);
  head.fill(0, 8);
  const answer = record
    ? Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, record.length]), record])
    : Buffer.alloc(0);
  return Buffer.concat([head, question.subarray(12, end), answer]);
}

describe('the look-up of a name', () => {
  let server: Socket;
  let resolver: Resolver;
  beforeAll(async () => {
    server = createSocket('udp4', (question, { port, address }) => {
      if (!question.includes('silent')) server.send(answerTo(question), port, address);
    });
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    resolver = new Resolver({ timeout: 50, tries: 1 });
    resolver.setServers([`127.0.0.1:${server.address().port}`]);
  });
  afterAll(() => void server.close());

  const lookedUp = (name: string, all: boolean) =>
    new Promise<[Error | null, string | LookupAddress[], number | undefined]>((resolve) => {
      lookupBy(resolver)(name, { all }, (...answer) => resolve([answer[0], answer[1], answer[2]]));
    });

  it('finds the addresses of both kinds', async () => {
    expect(await lookedUp('both.example', true)).toEqual([
      null,
      expect.arrayContaining([
        { address: '8.8.4.4', family: 4 },
        { address: '2001:db8::1', family: 6 },
      ]),
      undefined,
    ]);
    expect(await lookedUp('four.example', true)).toEqual([null, [{ address: '8.8.4.4', family: 4 }], undefined]);
    expect(await lookedUp('four.example', false)).toEqual([null, '8.8.4.4', 4]);
  });

  it.each(['none.example', 'silent.example'])('fails where there is none: %s', async (name) => {
    expect(await lookedUp(name, true)).toEqual([expect.any(Error), [], undefined]);
  });
});
