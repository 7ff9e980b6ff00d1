import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  service: string;
  attributes: Record<string, unknown>;
}
interface Export {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: {
      spans: (Omit<Span, 'service' | 'attributes'> & {
        attributes: { key: string; value: Record<string, unknown> }[];
      })[];
    }[];
  }[];
}

const SECRET = 'nobody else may read this';
const spans: Span[] = [];
let collector: Server;
let daypass: Daypass;

beforeAll(async () => {
  collector = createServer((request, response) => {
    let text = '';
    request.on('data', (data) => (text += String(data)));
    request.on('end', () => {
      for (const { resource, scopeSpans } of (JSON.parse(text) as Export).resourceSpans) {
        const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        for (const span of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({
            ...span,
            service,
            attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
          });
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  daypass = await startDaypass({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` } });
});
afterAll(async () => {
  await daypass?.stop();
  collector?.close();
});

describe('a traced call', () => {
  it('is one trace through all services and their queues, without a word of what was asked', async () => {
    const { key } = await daypass.createKey();
    const client = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const ask = () =>
      client.chat.completions
        .create({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: `${SECRET} ${Math.random()}` }] })
        .withResponse();
    const ids = [
      (await ask()).response.headers.get('x-request-id'),
      (await ask()).response.headers.get('x-request-id'),
    ];
    const whole = (id: string | null) => {
      const root = spans.find((span) => span.name === 'call' && span.attributes['daypass.request_id'] === id);
      return spans.filter((span) => span.traceId === root?.traceId);
    };
    const told = (id: string | null) =>
      whole(id).map(({ service, name }) => `${service.replace('daypass-', '')}: ${name}`);
    const expected = [
      'ingress: call',
      'ingress: hold',
      'moderation: judge input',
      'forwarding: forward',
      'forwarding: upstream',
    ];
    for (
      let attempt = 0;
      attempt < 100 && !ids.every((id) => expected.every((one) => told(id).includes(one)));
      attempt++
    )
      await sleep(200);
    for (const id of ids) {
      expect(told(id)).toEqual(expect.arrayContaining(expected));
      const trace = whole(id);
      // The queue library's own spans: what was added, and what was processed.
      expect(told(id).filter((one) => /add|process/i.test(one)).length).toBeGreaterThanOrEqual(2);
      const known = new Set(trace.map(({ spanId }) => spanId));
      expect(trace.filter(({ parentSpanId }) => !parentSpanId).map(({ name }) => name)).toEqual(['call']);
      expect(trace.filter(({ parentSpanId }) => parentSpanId && !known.has(parentSpanId))).toEqual([]);
      expect(trace.find(({ name }) => name === 'forward')!.attributes).toMatchObject({
        'daypass.lane': expect.any(String),
        'daypass.outcome': 'ok',
      });
    }
    expect(whole(ids[0]!)[0]!.traceId).not.toBe(whole(ids[1]!)[0]!.traceId);
    expect(JSON.stringify(spans)).not.toContain(SECRET);
    expect(JSON.stringify(spans)).not.toContain(key);
    // The provider has no business with our traces.
    expect(daypass.rehearsal.chatCalls().map(({ headers }) => headers.traceparent)).toEqual([undefined, undefined]);
  });
});
