"""OpenTelemetry traces: trigger → execution → step → provider request. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

Processes pass nothing to each other and store nothing. A trace's id is its trigger's id, and the spans of a trigger and
of an execution have the last 64 bits of their ids, so every process knows the parent of what it records. A span is
recorded when it ends. Spans are exported in the background, in batches; those that the collector does not take in time
are dropped, and no work waits for it or fails.
"""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import structlog

import metrics

log = structlog.get_logger(__name__)

#: Seconds that a stopping process waits for its last spans.
FLUSH_TIMEOUT_SECONDS = 2.0
SPAN_BITS = 64

Kind = Literal["internal", "server", "client"]


@dataclass(frozen=True)
class _Exporter:
    """The SDK's parts: its API is imported only where traces are on."""

    processor: Any
    resource: Any
    sampler: Any
    scope: Any


_exporter: _Exporter | None = None


def set_up(program: str, endpoint: str) -> None:
    """Turn traces on in this process, if `endpoint` is the base URL of a collector of OTLP over HTTP."""
    if not endpoint:
        return
    try:
        _start(program, endpoint)
    except ImportError as error:
        log.warning("no traces: install beckon[otel]", error=str(error))


def _start(program: str, endpoint: str) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    global _exporter
    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", "beckon"),
            "service.version": metrics.read_version(),
            "service.instance.id": metrics.SLOT or program,
        }
    )
    _exporter = _Exporter(
        BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")),
        resource,
        TracerProvider(resource=resource, shutdown_on_exit=False).sampler,
        InstrumentationScope("beckon", metrics.read_version()),
    )
    atexit.register(shut_down)


def is_on() -> bool:
    """Whether this process records spans."""
    return _exporter is not None


def shut_down() -> None:
    """Export what is left, for at most `FLUSH_TIMEOUT_SECONDS`, and turn traces off."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter is None:
        return
    # A thread, because the exporter repeats requests to a collector that is down.
    thread = threading.Thread(target=exporter.processor.shutdown, name="traces", daemon=True)
    thread.start()
    thread.join(FLUSH_TIMEOUT_SECONDS)


def derive_span_id(id: str) -> int:
    """Return the id of the span of a trigger or an execution."""
    return uuid.UUID(id).int & (1 << SPAN_BITS) - 1


def new_span_id() -> int:
    """Return the id of another span; 0 means none."""
    return random.getrandbits(SPAN_BITS - 1) + 1


def record(
    name: str,
    trigger_id: str,
    span_id: int,
    parent_id: int,
    started_ns: int,
    *,
    ended_ns: int | None = None,
    kind: Kind = "internal",
    error: str = "",
    attributes: dict[str, str | int | bool | None] | None = None,
) -> None:
    """Record a span that ends now, or at `ended_ns` (nanoseconds since 1970). `parent_id` 0 makes it the first."""
    if _exporter is None:
        return
    try:
        _emit(_exporter, name, trigger_id, span_id, parent_id, (started_ns, ended_ns or time.time_ns()), kind, error,
              attributes or {})  # fmt: skip
    except Exception:
        log.exception("a span was not recorded", span=name)


def _emit(
    exporter: _Exporter, name: str, trigger_id: str, span_id: int, parent_id: int, times: tuple[int, int], kind: str,
    error: str, attributes: dict[str, Any],
) -> None:  # fmt: skip
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode

    trace_id = uuid.UUID(trigger_id).int
    # The sampler compares the last 64 bits, of which UUIDs have two fixed ones in front: shuffle them.
    shuffled = random.Random(trace_id).getrandbits(128)
    if not exporter.sampler.should_sample(None, shuffled, name).decision.is_sampled():
        return
    flags = TraceFlags(TraceFlags.SAMPLED)
    exporter.processor.on_end(
        ReadableSpan(
            name,
            context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags),
            parent=SpanContext(trace_id, parent_id, is_remote=True, trace_flags=flags) if parent_id else None,
            resource=exporter.resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            kind=SpanKind[kind.upper()],
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
            start_time=times[0],
            end_time=max(times),
            instrumentation_scope=exporter.scope,
        )
    )
