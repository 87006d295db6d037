"""Metrics: shared by the programs through files that keep the counts, do not grow, and have few series."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import metrics
import settings


@pytest.fixture
def run_program(tmp_path):
    """Run a line of Python in one program slot and return its output."""

    def run(slot: str, line: str) -> str:
        environ = {**os.environ, "BECKON_SLOT": slot, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        result = subprocess.run(
            [sys.executable, "-c", f"import metrics\n{line}"],
            env=environ, cwd=settings.ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return result.stdout

    return run


SEND = "metrics.sends_total.labels(channel='email', provider='mailgun', outcome='sent').inc()"
SHOW = "print(metrics.format_exposition().decode())"
SENT = re.compile(r'^beckon_sends_total\{channel="email",outcome="sent",provider="mailgun"\} (.*)$', re.MULTILINE)


def test_the_counts_of_all_programs_are_added_up(run_program):
    run_program("engine-0", SEND)
    run_program("engine-1", SEND)
    assert SENT.findall(run_program("dashboard-0", SHOW)) == ["2.0"]


def test_a_restart_continues_counting_in_the_same_file(run_program, tmp_path):
    run_program("engine-0", SEND)
    before = sorted(path.name for path in tmp_path.iterdir())
    run_program("engine-0", SEND)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert SENT.findall(run_program("dashboard-0", SHOW)) == ["2.0"]


def test_the_files_have_their_space_before_the_disk_is_full(run_program, tmp_path):
    run_program("dashboard-0", "for n in range(600): metrics.http_requests_total.labels(str(n), '2xx').inc()")
    for file in tmp_path.iterdir():
        assert file.stat().st_blocks * 512 >= file.stat().st_size > 0, file
    assert max(file.stat().st_size for file in tmp_path.iterdir()) > 65_536


def test_streams_of_a_killed_dashboard_are_not_counted_after_its_restart(run_program):
    run_program("dashboard-0", "metrics.sse_clients.inc(7)")
    assert "beckon_sse_clients 0.0" in run_program("dashboard-0", SHOW)


def test_each_start_of_a_program_is_counted(run_program):
    run_program("engine-0", "")
    run_program("engine-1", "")
    run_program("engine-0", "")
    assert 'beckon_process_starts_total{program="engine"} 3.0' in run_program("dashboard-0", SHOW)


def test_series_exist_before_anything_happens(run_program):
    assert SENT.findall(run_program("dashboard-0", SHOW)) == ["0.0"]


def test_a_new_copy_has_far_fewer_series_than_allowed(run_program):
    lines = [line for line in run_program("dashboard-0", SHOW).splitlines() if line and not line.startswith("#")]
    assert len(lines) < 1_400


def test_no_label_names_a_process(run_program):
    run_program("engine-0", SEND)
    assert "pid=" not in run_program("dashboard-0", SHOW)


def test_metrics_collected_at_the_scrape_appear_beside_the_counters():
    class Depth(Collector):
        def collect(self):
            yield GaugeMetricFamily("beckon_executions_due", "Due.", value=3)

    text = metrics.format_exposition(Depth()).decode()
    assert "beckon_executions_due 3.0" in text
    assert "beckon_sends_total" in text


def test_lost_notifications_are_counted_under_the_former_name_too(run_program):
    exposition = run_program(
        "engine-0", "metrics.count_lost_notifications(3); print(metrics.format_exposition().decode())"
    )
    assert "beckon_notifications_lost_total 3.0" in exposition
    assert "beckon_bells_lost_total 3.0" in exposition
