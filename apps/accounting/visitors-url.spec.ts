import { describe, expect, it } from '@jest/globals';
import { narrowReachOf, visitorsUrl } from './visitors-url.js';

const visitors = { host: '0.0.0.0', port: 8080, proxyHops: 0 };
const [publicUrl, networkUrl] = ['https://try.example.org', 'http://192.168.1.20:8080'];

describe("the visitors' address that the console shows", () => {
  it.each([
    ['the public one', { publicUrl, networkUrl }, publicUrl, null],
    ['that of the network', { publicUrl: undefined, networkUrl }, networkUrl, 'in this network only'],
    [
      "this machine's",
      { publicUrl: undefined, networkUrl: undefined },
      'http://localhost:8080',
      'on this machine only',
    ],
  ])('is %s, and says how far it reaches', (_, addresses, url, reach) => {
    expect(visitorsUrl({ ...addresses, visitors })).toBe(url);
    expect(narrowReachOf(addresses)).toBe(reach);
  });
});
