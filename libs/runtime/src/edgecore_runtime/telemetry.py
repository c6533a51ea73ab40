"""Traces: W3C context carried over HTTP, gRPC and Kafka, exported over OTLP or to a file of JSON lines.

Events leave through the outbox, long after the request's span ended, so the context is stored with the row
and travels in the record's headers; the automatic Kafka instrumentation would see only the relay.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

EXPORT_MILLISECONDS = 500

tracer = trace.get_tracer("edgecore")


def configure(service: str, otlp_endpoint: str, trace_file: str) -> None:
    """Set up the process's tracer; with neither endpoint nor file, spans are made and dropped."""
    provider = TracerProvider(resource=Resource.create({"service.name": f"edgecore-{service}"}))
    if otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    if trace_file:
        Path(trace_file).parent.mkdir(parents=True, exist_ok=True)
        lines = ConsoleSpanExporter(out=open(trace_file, "a", buffering=1), formatter=_line)  # noqa: SIM115
        provider.add_span_processor(BatchSpanProcessor(lines, schedule_delay_millis=EXPORT_MILLISECONDS))
    trace.set_tracer_provider(provider)


def current() -> dict[str, str]:
    """The current trace context as W3C headers; empty outside a span."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def span(name: str, carrier: Mapping[str, str], kind: trace.SpanKind, **attributes: str) -> Iterator[trace.Span]:
    """A span that continues the trace in `carrier`."""
    token = context.attach(propagate.extract(carrier))
    try:
        with tracer.start_as_current_span(name, kind=kind, attributes=attributes) as current_span:
            yield current_span
    finally:
        context.detach(token)


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"
