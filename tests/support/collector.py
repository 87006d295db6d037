"""A collector of OpenTelemetry traces in this process: it decodes what exporters post to /v1/traces."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.serving import serve

#: Whether the extra `otel` is installed.
IS_INSTALLED = importlib.util.find_spec("opentelemetry") is not None


@dataclass(frozen=True)
class Span:
    """A received span; ids are hexadecimal, an empty parent is none."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    started_ns: int
    ended_ns: int
    error: str
    attributes: dict[str, Any]
    #: `service.name` and `service.instance.id` of the process.
    service: str
    instance: str


@dataclass
class Collector:
    """The spans received so far."""

    url: str
    spans: list[Span] = field(default_factory=list)
    requests: int = 0

    def find(self, prefix: str) -> list[Span]:
        """The spans whose name begins like this."""
        return [span for span in self.spans if span.name.startswith(prefix)]


def _decode(body: bytes) -> list[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    spans = []
    for group in request.resource_spans:
        resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
        for scope in group.scope_spans:
            spans += [_build_span(span, resource) for span in scope.spans]
    return spans


def _build_span(span: Any, resource: dict[str, str]) -> Span:
    attributes = {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}
    return Span(
        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind,
        span.start_time_unix_nano, span.end_time_unix_nano, span.status.message, attributes,
        resource["service.name"], resource["service.instance.id"],
    )  # fmt: skip


@contextmanager
def run_collector() -> Iterator[Collector]:
    """Serve a collector on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            collector.requests += 1
            collector.spans += _decode(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    with serve(server):
        yield collector
