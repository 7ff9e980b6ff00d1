import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { context, propagation, SpanStatusCode, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { startTracing, stopTracing, traced, traceparentNow } from './tracing.js';

let exporter: InMemorySpanExporter;

// It ends with the provider that it belongs to.
beforeEach(() => {
  exporter = new InMemorySpanExporter();
});
afterEach(async () => {
  await stopTracing();
  for (const api of [trace, context, propagation]) api.disable();
});

/** Runs these lines in a process of their own. @returns whether it loaded the SDK */
function loadsSdk(lines: string): boolean {
  const tracing = join(import.meta.dirname, '../../dist/libs/service/tracing.js');
  const told = execFileSync(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { registerHooks } from 'node:module';
      let loaded = false;
      registerHooks({ resolve: (name, at, next) => ((loaded ||= name === '@opentelemetry/sdk-trace'), next(name, at)) });
      const { startTracing, stopTracing } = await import(${JSON.stringify(tracing)});
      ${lines}
      process.stdout.write(String(loaded));`,
    ],
    { encoding: 'utf8' },
  );
  return told === 'true';
}

describe('tracing', () => {
  it('loads the SDK when it starts, and no sooner', () => {
    expect(loadsSdk('')).toBe(false);
    expect(loadsSdk(`await startTracing('ingress'); await stopTracing();`)).toBe(true);
  });

  it('is off until it is started: the work is done, and there is no span', async () => {
    expect(await traced('call', {}, async () => traceparentNow())).toBeUndefined();
    await expect(traced('call', {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  it('makes one trace of what goes on elsewhere', async () => {
    await startTracing('ingress', new SimpleSpanProcessor({ exporter }));
    const parent = await traced('call', { kind: 'server' }, async () => {
      await traced('hold', {}, () => Promise.resolve());
      return traceparentNow();
    });
    expect(parent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    await traced('forward', { parent, attributes: { 'daypass.lane': 'mini' } }, async () => undefined);
    await traced('another', {}, async () => undefined);
    const [hold, call, forward, another] = exporter.getFinishedSpans();
    expect([hold, call, forward, another].map((span) => span!.name)).toEqual(['hold', 'call', 'forward', 'another']);
    expect(hold!.parentSpanContext?.spanId).toBe(call!.spanContext().spanId);
    expect(forward!.parentSpanContext?.spanId).toBe(call!.spanContext().spanId);
    expect(new Set([hold, call, forward].map((span) => span!.spanContext().traceId)).size).toBe(1);
    expect(another!.spanContext().traceId).not.toBe(call!.spanContext().traceId);
    expect(forward!.resource.attributes['service.name']).toBe('daypass-ingress');
  });

  it('shows of an error its code, and not its message', async () => {
    await startTracing('ingress', new SimpleSpanProcessor({ exporter }));
    const error = Object.assign(new Error('the visitor asked: a secret'), { code: 'moderation_blocked' });
    await expect(traced('call', {}, () => Promise.reject(error))).rejects.toBe(error);
    const [span] = exporter.getFinishedSpans();
    expect(span!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'moderation_blocked' });
    expect(JSON.stringify([span!.attributes, span!.events, span!.status])).not.toContain('secret');
  });
});
