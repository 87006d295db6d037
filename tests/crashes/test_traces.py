"""Traces across real processes: trigger → execution → step → provider request, and a collector that is down."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

import settings
import traces
from sandbox.server import RunningSandbox
from tests.support.collector import IS_INSTALLED, Collector, Span, run_collector
from tests.support.factories import WRITTEN, Alice, wait_until_finished
from tests.support.programs import LONG_LEASE, Programs
from tests.support.waiting import eventually

needs_sdk = pytest.mark.skipif(not IS_INSTALLED, reason="the extra `otel` is not installed")
BROKEN = [{"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.missing.name }}"}}]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with run_collector() as running:
        yield running


@pytest.fixture
def exported(collector: Collector, programs: Programs) -> Iterator[Collector]:
    """The collector of this process and of workers that export often."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    programs.start_workers(**LONG_LEASE, **environment)
    traces.set_up("tests", collector.url)
    yield collector
    traces.shut_down()


@needs_sdk
def test_a_trace_leads_from_the_trigger_to_the_providers_across_processes(
    exported: Collector, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    trigger = alice.trigger()
    row = wait_until_finished(trigger)
    traces.shut_down()
    eventually(lambda: len(exported.spans) >= 6)

    assert {span.trace_id for span in exported.spans} == {uuid.UUID(trigger.trigger_id).hex}
    assert {span.service for span in exported.spans} == {"beckon"}
    (root,), (execution,) = exported.find("trigger event"), exported.find("execution")
    assert (root.parent_id, execution.parent_id) == ("", root.span_id)
    assert execution.attributes["beckon.execution_id"] == row["id"]
    assert execution.attributes["beckon.automation_id"] == automation_id
    assert execution.attributes["beckon.status"] == "succeeded"

    steps = exported.find("step ")
    assert {span.parent_id for span in steps} == {execution.span_id}
    assert [span.attributes["beckon.step"] for span in sorted(steps, key=get_start)] == ["write", "hello"]
    by_name = {span.name: span for span in exported.spans}
    assert by_name["generation gemini"].parent_id == by_name["step generate_message"].span_id
    assert by_name["sending mailgun"].parent_id == by_name["step send_email"].span_id
    # The process that accepts, and the one that does the rest.
    assert (root.instance, execution.instance) == ("tests", "worker-engine")
    assert by_name["generation gemini"].instance == by_name["sending mailgun"].instance == "worker-engine"
    for span in exported.spans:
        assert span.started_ns <= span.ended_ns
        assert execution.started_ns <= span.started_ns or span is root


def get_start(span: Span) -> int:
    """When the span began."""
    return span.started_ns


@needs_sdk
def test_a_failed_step_and_its_execution_have_the_error_class(exported: Collector) -> None:
    alice = Alice()
    alice.automation(BROKEN)
    wait_until_finished(alice.trigger())
    eventually(lambda: exported.find("execution"))
    assert [span.error for span in exported.find("step send_email")] == ["invalid"]
    assert [span.error for span in exported.find("execution")] == ["invalid"]


@needs_sdk
def test_nothing_of_a_person_is_in_a_span(exported: Collector, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    wait_until_finished(alice.trigger())
    eventually(lambda: exported.find("execution"))
    traces.shut_down()
    text = str(exported.spans)
    assert not [private for private in ("Bob", "bob@example.com", "+15550123") if private in text]


@needs_sdk
def test_work_continues_and_ends_while_the_collector_does_not_answer(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        workers = programs.start_workers(**LONG_LEASE, **environment)
        alice = Alice()
        alice.automation(WRITTEN)
        assert wait_until_finished(alice.trigger())["status"] == "succeeded"
        for worker in workers.values():
            worker.send_signal(signal.SIGTERM)
        eventually(lambda: all(worker.poll() is not None for worker in workers.values()), timeout=30)


@needs_sdk
def test_a_sampler_of_the_environment_keeps_or_drops_whole_traces(collector: Collector) -> None:
    program = """
import traces, uuid, sys
traces.set_up("tests", sys.argv[1])
for number in range(200):
    trigger = str(uuid.UUID(int=(number << 64) + (2 << 62) + number))
    for span in (1, 2):
        traces.record("span", trigger, span, span - 1, 1)
traces.shut_down()
"""
    environ = {**os.environ, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    subprocess.run([sys.executable, "-c", program, collector.url], cwd=settings.ROOT, env=environ, check=True)
    kept = {span.trace_id for span in collector.spans}
    assert len(collector.spans) == 2 * len(kept)
    assert 60 <= len(kept) <= 140


def test_without_an_endpoint_no_exporter_is_imported() -> None:
    program = """
import sys
import dashboard, tasks.executions, traces, workers.worker_process
traces.set_up("tests", "")
traces.record("span", "", 1, 0, 1)
assert not traces.is_on()
print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "opentelemetry.sdk.trace."))])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
