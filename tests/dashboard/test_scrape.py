"""A scrape: every declared gauge, read from the servers, and the groups of requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import dramatiq
import flask
import psycopg2
import pytest
from flask.testing import FlaskClient

import clock
from dashboard import scrape
from dashboard.gauges import GAUGES
from dashboard.request_log import classify_request
from ephemeral import heartbeats
from ephemeral.connection import get_ephemeral
from tasks.health import deadlines
from tasks.runtime import broker
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually
from workers.bounded_log import DroppedLines


@pytest.fixture
def scrape_now(app: flask.Flask, client: FlaskClient) -> Callable[[], dict[str, float]]:
    """Read every sample of /metrics as if no gauge were cached."""

    def read() -> dict[str, float]:
        app.extensions["servers_collector"] = scrape.ServersCollector(app.extensions["settings"])
        lines = client.get("/metrics").text.splitlines()
        return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    return read


Scrape = Callable[[], dict[str, float]]

_INSERT_EXECUTION = """
    with inserted as (
        insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, stage_since, queue,
            rung_at, created_at)
        select lowest_id_at(beckon_now() - %(age)s::interval), a.workspace_id, a.id, a.id, 1, a.id, now(), 'sending',
            now(), now()
        from automations a order by a.id limit 1
        returning id, workspace_id
    )
    insert into steps (execution_id, step_id, workspace_id, action, status)
    select id, 'hello', workspace_id, 'send_email', 'running' from inserted
"""


def test_every_declared_gauge_is_exposed(scrape_now: Scrape) -> None:
    heartbeats.record(["sending"], clock.now())
    exposed = {re.split(r"[ {]", sample)[0] for sample in scrape_now()}
    # No job has succeeded yet, those that will are the scheduler's, and no supervisord counts log lines.
    absent = {"beckon_sweep_last_success_timestamp_seconds", "beckon_log_lines_dropped"}
    assert {f"beckon_{name}" for name in GAUGES} - absent <= exposed


def test_log_lines_that_supervisord_dropped_are_exposed(scrape_now: Scrape, app: flask.Flask, tmp_path: Path) -> None:
    config = app.extensions["settings"] = app.extensions["settings"].replace(home=tmp_path)
    config.dropped_log_lines.parent.mkdir()
    DroppedLines(config.dropped_log_lines).add(3)
    assert scrape_now()["beckon_log_lines_dropped"] == 3


def test_the_oldest_message_of_a_queue_has_an_age(scrape_now: Scrape) -> None:
    first, second = (broker._build_message("sending", name, False) for name in ("first", "second"))
    old = dramatiq.Message(**{**first.asdict(), "message_timestamp": first.message_timestamp - 90_000})
    dramatiq.get_broker().enqueue_all("sending", [old, second])  # type: ignore[attr-defined]
    samples = scrape_now()
    assert 90 <= samples['beckon_queue_oldest_age_seconds{queue="sending"}'] < 150
    assert samples['beckon_queue_oldest_age_seconds{queue="executions"}'] == 0


def test_a_queue_without_workers_has_no_live_worker(scrape_now: Scrape) -> None:
    heartbeats.record(["sending"], clock.now())
    samples = scrape_now()
    assert samples['beckon_workers_live{queue="sending"}'] == 1
    assert samples['beckon_workers_live{queue="generation"}'] == 0


def test_a_process_whose_clock_is_wrong_shows_in_the_skew(scrape_now: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats.record(["sending"], clock.now())
    assert scrape_now()["beckon_process_clock_skew_seconds"] < 2
    real_time = heartbeats.time.time
    monkeypatch.setattr(heartbeats.time, "time", lambda: real_time() - 600)
    heartbeats.record(["sending"], clock.now())
    assert scrape_now()["beckon_process_clock_skew_seconds"] == pytest.approx(600, abs=5)


def test_a_paused_provider_and_queue_are_counted_by_workspace(
    alice: Producer, charlie: Producer, scrape_now: Scrape
) -> None:
    for producer in (alice, charlie):
        assert producer.post("/api/providers/mailgun/pause", {}).status_code == 200
    assert alice.post("/api/queues/sending/pause", {}).status_code == 200
    samples = scrape_now()
    assert samples['beckon_providers_paused{provider="mailgun",reason="operator"}'] == 2
    assert samples['beckon_providers_paused{provider="mailgun",reason="configuration"}'] == 0
    assert samples['beckon_queues_paused{queue="sending"}'] == 1


def test_redis_that_evicts_keys_is_shown(scrape_now: Scrape) -> None:
    client = get_ephemeral()
    assert scrape_now()["beckon_redis_policy_ok"] == 1
    before = client.config_get("maxmemory*")
    try:
        client.config_set("maxmemory", client.info("memory")["used_memory"] * 2)
        client.config_set("maxmemory-policy", "allkeys-lru")
        samples = scrape_now()
    finally:
        client.config_set("maxmemory", before["maxmemory"])
        client.config_set("maxmemory-policy", before["maxmemory-policy"])
    assert samples["beckon_redis_policy_ok"] == 0
    assert 0.3 < samples["beckon_redis_memory_used_ratio"] < 0.9


def test_the_disk_has_a_reserve_below_which_an_alert_fires(app: flask.Flask, scrape_now: Scrape) -> None:
    samples = scrape_now()
    assert 0 < samples["beckon_disk_free_ratio"] <= 1
    assert samples["beckon_disk_reserve_bytes"] == 1_000_000_000
    app.extensions["settings"] = app.extensions["settings"].replace(disk_reserve_mb=100_000_000)
    nearly_full = scrape_now()
    assert nearly_full["beckon_disk_free_bytes"] < nearly_full["beckon_disk_reserve_bytes"]


def test_a_disk_that_cannot_be_measured_hides_nothing_else(app: flask.Flask, scrape_now: Scrape) -> None:
    app.extensions["settings"] = app.extensions["settings"].replace(home=app.extensions["settings"].home / "gone")
    samples = scrape_now()
    assert "beckon_disk_free_bytes" not in samples
    assert samples["beckon_redis_up"] == 1


def test_a_store_that_hangs_is_down_and_hides_nothing_else(scrape_now: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(scrape, "_collect_from_redis", lambda: released.wait(60) and [])
    try:
        samples = scrape_now()
    finally:
        released.set()
    assert samples["beckon_redis_up"] == 0
    assert samples["beckon_postgres_up"] == 1
    assert "beckon_redis_policy_ok" not in samples
    eventually(lambda: "metrics:redis" not in deadlines._unfinished)


@pytest.mark.parametrize(
    ("path", "mimetype", "group"),
    [
        ("/api/automations", "application/json", "api"),
        ("/api/webhooks/telnyx", "application/json", "webhook"),
        ("/api/hooks/abc", "application/json", "webhook"),
        ("/api/automations/x/monitor/stream", "text/event-stream", "stream"),
        ("/static/beckon.css", "text/css", "static"),
        ("/beckon.js", "text/javascript", "static"),
        ("/automations", "text/html", "page"),
        ("/apiary", "text/html", "page"),
    ],
)
def test_a_request_belongs_to_one_group(path: str, mimetype: str, group: str) -> None:
    assert classify_request(path, mimetype) == group


def test_requests_are_counted_by_route_and_measured_by_group(client: FlaskClient, scrape_now: Scrape) -> None:
    counted = 'beckon_http_requests_total{code_class="4xx",route="/api/executions/<execution_id>"}'
    measured = 'beckon_http_request_duration_seconds_count{code_class="4xx",group="api"}'
    before = scrape_now()
    client.get("/api/executions/1")
    client.get("/api/executions/2")
    after = scrape_now()
    assert after[counted] - before.get(counted, 0) == 2
    assert after[measured] - before[measured] == 2


def test_probes_are_counted_and_not_measured(client: FlaskClient, scrape_now: Scrape) -> None:
    def sum_measured(samples: dict[str, float]) -> float:
        return sum(
            number for name, number in samples.items() if name.startswith("beckon_http_request_duration_seconds_count")
        )

    before = scrape_now()
    client.get("/healthz")
    after = scrape_now()
    assert sum_measured(after) == sum_measured(before)
    probes = 'beckon_http_requests_total{code_class="2xx",route="/healthz"}'
    assert after[probes] - before.get(probes, 0) == 1


def test_what_fell_into_the_default_partition_is_counted_and_what_retention_keeps_is_not(
    scrape_now: Scrape, alice: Producer, database_urls: Any
) -> None:
    alice.create()
    with closing(psycopg2.connect(database_urls.owner)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("set local role beckon_service")
        for age in ("-3 years", "1 year", "2 years"):
            cursor.execute(_INSERT_EXECUTION, {"age": age})

    samples = scrape_now()

    assert samples['beckon_default_partition_rows{table="executions"}'] == 1
    assert samples['beckon_default_partition_rows{table="steps"}'] == 1
