"""A real Prometheus scrapes a copy that runs 10,000 executions of 50 workspaces, and `beckon demo`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.conftest import ObservedCopy
from tests.deploy.test_grafana import list_queries
from tests.support import mixed_executions
from tests.support.prometheus import IS_INSTALLED, Prometheus, run_prometheus
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not IS_INSTALLED, reason="prometheus and promtool (Debian: prometheus) are absent"),
]

TENANTS, EXECUTIONS_OF_EACH = 50, 200
MAX_SERIES = 2_000


@pytest.fixture(scope="module")
def prometheus(copy: ObservedCopy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after the executions and a demo session that it has scraped."""
    target = str(copy.app.access()["url"]).removeprefix("http://")
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), target) as client:
        mixed_executions.lose_answers(copy.app)
        tenants = mixed_executions.create_tenants(copy.app, TENANTS)
        for tenant in tenants:
            tenant.publish()
            tenant.trigger(EXECUTIONS_OF_EACH)
        copy.wait_until_idle(timeout=600)
        demo = copy.app.run("demo")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        yield client


def test_there_are_fewer_than_2000_series(copy: ObservedCopy, prometheus: Prometheus) -> None:
    assert len(copy.read_samples()) < MAX_SERIES
    (scraped,) = prometheus.query('scrape_samples_scraped{job="beckon"}')
    assert int(scraped["value"][1]) < MAX_SERIES
    (limits,) = prometheus.query('max_over_time(scrape_samples_scraped{job="beckon"}[1h])')
    assert int(limits["value"][1]) < MAX_SERIES


def test_prometheus_counts_every_execution_of_every_workspace(copy: ObservedCopy, prometheus: Prometheus) -> None:
    def count_rows() -> dict[str, int]:
        return dict(copy.query("select status, count(*) from executions where not test group by status"))

    def are_equal() -> bool:
        series = prometheus.query("beckon_executions_finished_total")
        finished = {entry["metric"]["status"]: int(entry["value"][1]) for entry in series}
        rows = count_rows()
        return len(finished) == 4 and finished == {status: rows.get(status, 0) for status in finished}

    # The demo session adds some.
    assert sum(count_rows().values()) >= TENANTS * EXECUTIONS_OF_EACH
    eventually(are_equal, timeout=15, interval=0.5)


@pytest.mark.parametrize("expression", list_queries())
def test_a_query_of_the_grafana_dashboard_returns_data(prometheus: Prometheus, expression: str) -> None:
    assert prometheus.query(expression)


def test_every_alert_is_evaluated_and_the_undecided_messages_raise_one(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.call("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    states = {rule["name"]: rule["state"] for rule in rules}
    assert states["UnknownOutcome"] == "firing"
    quiet = ("PostgresDown", "RedisDown", "NoLiveWorker", "LeaderAbsent", "SweepStale", "Quarantined", "DeadLetters")
    assert {states[name] for name in quiet} == {"inactive"}


def test_no_label_names_a_workspace_an_execution_or_a_process(copy: ObservedCopy, prometheus: Prometheus) -> None:
    labels = set(prometheus.call("labels"))
    assert not labels & {"pid", "workspace", "workspace_id", "execution", "execution_id", "contact", "automation"}
    ids = [row[0] for row in copy.query("select id::text from workspaces")]
    exposition = copy.read_exposition()
    assert not [id for id in ids if id in exposition]
