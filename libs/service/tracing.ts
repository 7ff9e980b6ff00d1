import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Span,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace';

const TRACER = 'daypass';
let provider: TracerProvider | undefined;

/**
 * Sends spans to a collector by OTLP over HTTP; the exporter reads the standard variables itself (OTEL_EXPORTER_OTLP_ENDPOINT and its
 * like). Without it every span below is a no-op. At most 2,048 spans wait; beyond that they are dropped, and calls go on.
 */
export function startTracing(
  service: string,
  processor: SpanProcessor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter() }),
): void {
  provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': `daypass-${service}` }),
    spanProcessors: [processor],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
}

/** Sends what waits, within the exporter's own time limit; a collector that is away must not keep a process from ending. */
export async function stopTracing(): Promise<void> {
  await provider?.shutdown().catch(() => undefined);
}

export interface SpanOptions {
  kind?: 'server' | 'client' | 'internal';
  /** Where the call's trace goes on, as `traceparentOf` told it; undefined: in what runs around it, or in a new trace. */
  parent?: string | undefined;
  /** Ids and words, never content. */
  attributes?: Attributes;
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/** Some work as a span of its own; what it throws is told by its name, since a message may quote a visitor. */
export async function traced<T>(
  name: string,
  { kind = 'internal', parent, attributes }: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const from = parent === undefined ? context.active() : propagation.extract(ROOT_CONTEXT, { traceparent: parent });
  const span = trace
    .getTracer(TRACER)
    .startSpan(name, { kind: KINDS[kind], ...(attributes ? { attributes } : {}) }, from);
  try {
    return await context.with(trace.setSpan(from, span), () => work(span));
  } catch (error) {
    const { name: type, code } = error as { name?: string; code?: unknown };
    span.setStatus({ code: SpanStatusCode.ERROR, message: typeof code === 'string' ? code : (type ?? 'error') });
    throw error;
  } finally {
    span.end();
  }
}

/** W3C's traceparent of what runs now, for whoever goes on with the call; undefined where nobody traces. */
export function traceparentNow(): string | undefined {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}
