import { describe, expect, it } from '@jest/globals';
import { ImageAddresses } from './image.addresses.js';

describe('the address of an image', () => {
  const addresses = new ImageAddresses(['127.0.0.1:9000', 'pictures.lan:443', '[::1]:81']);

  it.each([
    'https://example.org/a.png',
    'http://example.org:80/a.png',
    'https://example.org:443/',
    'https://8.8.8.8/a.png',
    'https://[2606:4700::1111]/a.png',
    'http://172.32.0.1/',
    'https://localhost.example.org/',
    'https://svc.example.org/',
    'https://example.org./a.png',
  ])('may be %s', (url) => expect(addresses.fault(url)).toBeNull());

  it.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://168.63.129.16/',
    'http://100.100.100.200/',
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.0.0.1/',
    'http://0177.0.0.1/',
    'http://127.0.0.1./',
    'http://0.0.0.0/',
    'http://10.1.2.3/',
    'http://172.31.255.255/',
    'http://192.168.0.1/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://[::1]/a',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:8.8.8.8]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[fe80::1]/',
    'http://[fd00::1]/',
    'http://[2002:7f00:1::]/',
    'http://[2001:db8::1]/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost/',
    'http://localhost../',
    'http://a.lan.../',
    'http://127.0.0.1../',
    'http://kubernetes.default.svc/',
    'http://kubernetes.default.svc.cluster.local./',
    'http://[::127.0.0.1]/',
    'http://redis/',
    'http://printer.local/',
    'http://metadata.google.internal/',
    'http://router.home.arpa/',
    'http://user:word@127.0.0.1/',
    'http://①②⑦.⓪.⓪.①/',
  ])('may not be %s, which is not public', (url) => expect(addresses.fault(url)).toBe('not_public'));

  it.each(['http://example.org:8080/', 'https://example.org:22/', 'http://8.8.8.8:6379/'])(
    'may not have a port of its own: %s',
    (url) => expect(addresses.fault(url)).toBe('port'),
  );

  it.each(['https://', 'http://exa mple.org/', 'ftp://example.org/', 'file:///etc/passwd', 'http://[::1/'])(
    'may not be %s, which nobody can read',
    (url) => expect(addresses.fault(url)).toBe('malformed'),
  );

  it('may be of a host that the operator allowed, with its port alone', () => {
    for (const url of ['http://127.0.0.1:9000/a', 'https://pictures.lan/a', 'http://[::1]:81/a']) {
      expect(addresses.fault(url)).toBeNull();
    }
    for (const url of ['http://127.0.0.1/a', 'http://127.0.0.1:9001/a', 'http://pictures.lan/a']) {
      expect(addresses.fault(url)).toBe('not_public');
    }
  });
});
