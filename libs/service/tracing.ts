import {
  context,
  INVALID_SPAN_CONTEXT,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Span,
} from '@opentelemetry/api';
import type { SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const TRACER = 'daypass';
let provider: TracerProvider | undefined;

/**
 * Sends spans to a collector by OTLP over HTTP. The exporter reads the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT
 * and its like). Without it every span below is a no-op. At most 2,048 spans wait. The exporter drops more than that,
 * and calls go on. A process without traces does not load the SDK, which takes 4 MB.
 */
export async function startTracing(service: string, processor?: SpanProcessor): Promise<void> {
  const { provideSpans } = await import('./tracing.sdk.js');
  provider = provideSpans(service, processor);
}

/**
 * Sends the waiting spans, within the exporter's own time limit. A lost collector must not keep a process from ending.
 */
export async function stopTracing(): Promise<void> {
  await provider?.shutdown().catch(() => undefined);
}

export interface SpanOptions {
  kind?: 'server' | 'client' | 'internal';
  /** The trace to continue, from `traceparentOf`; undefined: the span around it, or a new trace. */
  parent?: string | undefined;
  /** Ids and closed words, never content. */
  attributes?: Attributes;
}

/** Takes what a span takes, and tells nobody. */
const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/** Runs some work as a span. An error shows only its code or type, since a message may quote a visitor. */
export async function traced<T>(
  name: string,
  { kind = 'internal', parent, attributes }: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  if (!provider) return work(NO_SPAN);
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

/** The W3C traceparent of the current span, for the next service; undefined without tracing. */
export function traceparentNow(): string | undefined {
  if (!provider) return undefined;
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}
