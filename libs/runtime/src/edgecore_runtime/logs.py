"""JSON log lines on standard error, each with the service, and the trace and job it belongs to."""

import logging
import sys
from typing import Any

import structlog
from opentelemetry import trace

bind = structlog.contextvars.bound_contextvars
"""`with bind(job_id=…):` adds fields to every line inside."""


def get(name: str) -> Any:
    """A structured logger: `log.info("job accepted", frames=17)`."""
    return structlog.get_logger(name)


def configure(service: str, level: str) -> None:
    """Send our own and every library's lines through one JSON formatter."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        _add_service(service),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These say on every request or retry what our own lines already say once.
    for chatty in ("aiokafka", "uvicorn.access", "uvicorn.error", "alembic", "kafka", "httpx"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _add_trace(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = format(context.trace_id, "032x")
        line["span_id"] = format(context.span_id, "016x")
    return line


def _add_service(service: str) -> Any:
    def add(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        line["service"] = service
        return line

    return add
