"""Health: every part is judged by what was measured, each under its own deadline."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import settings
from ephemeral.heartbeats import Cache, Pool, Process
from models import migrations
from models.reports.health import ServerFacts
from models.reports.provider_calls import Calls, SendRow
from tasks.health import cache, leader, queues, services, stores
from tasks.health.calls import Call, summarize
from tasks.health.configuration import list_missing_settings
from tasks.health.deadlines import Unmeasured, measure_all
from tasks.health.facts import DiskFacts, Facts, Pauses, Processes, RedisFacts, WorkspaceFacts
from tasks.health.parts import Part, Problem, judge_status, sort_problems
from tasks.health.services import ProviderFacts
from tasks.runtime.broker import QUEUES

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def seconds_ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


class TestDeadlines:
    def test_a_measurement_without_an_answer_hides_no_other(self) -> None:
        hanging = threading.Event()
        results = measure_all({"hangs": hanging.wait, "answers": lambda: 7, "fails": lambda: 1 / 0}, seconds=0.2)
        hanging.set()
        assert results["answers"] == 7
        assert results["fails"] == Unmeasured("division by zero")
        assert isinstance(results["hangs"], Unmeasured)

    def test_one_that_still_runs_is_not_started_again(self) -> None:
        hanging, starts = threading.Event(), []

        def hang() -> None:
            starts.append(1)
            hanging.wait()

        for _ in range(3):
            assert isinstance(measure_all({"still runs": hang}, seconds=0.05)["still runs"], Unmeasured)
        hanging.set()
        assert len(starts) == 1


class TestCalls:
    def test_three_failures_in_a_row_are_a_failing_provider_since_the_first(self) -> None:
        calls = [
            Call(seconds_ago(60)),
            *(Call(seconds_ago(age), error_class="timeout") for age in (30, 20, 9)),
        ]
        activity = summarize(calls)
        assert activity.is_failing(NOW)
        assert (activity.failing_since, activity.failures) == (seconds_ago(30), 3)

    def test_an_accepted_call_ends_it(self) -> None:
        calls = [Call(seconds_ago(age), error_class="timeout") for age in (30, 20, 9)]
        activity = summarize([*calls, Call(seconds_ago(2))])
        assert not activity.is_failing(NOW)
        assert (activity.accepting_since, activity.accepted_at) == (seconds_ago(2), seconds_ago(2))

    @pytest.mark.parametrize("error_class", ["invalid", "blocked", "window_closed", "bug"])
    def test_errors_of_others_tell_nothing_about_the_provider(self, error_class: str) -> None:
        calls = [Call(seconds_ago(age), error_class=error_class) for age in (30, 20, 9)]
        assert summarize(calls).failures == 0

    def test_failures_of_long_ago_say_nothing_about_now(self) -> None:
        calls = [Call(seconds_ago(age), error_class="timeout") for age in (5000, 4000, 3000)]
        assert not summarize(calls).is_failing(NOW)


def build_process(**changes: Any) -> Process:
    process = Process(
        program="engine", name="engine-0", host="app-1", pid=1, queues=("sending",),
        started_at=seconds_ago(600).isoformat(), last_seen=NOW.isoformat(), version="1", memory_bytes=10**8,
        clock_skew_seconds=0.0, leader=False, cache=Cache(46, 512, 90, 10), pools={"sending": Pool(32, 5)},
    )  # fmt: skip
    return replace(process, **changes)


def build_queue(queue: str, *live: Process, lost: Any = (), backlog: Any = None, paused: Any = ()) -> Part:
    backlogs: Any = {queue: {"queue": queue, "running": 0, **backlog}} if backlog else {}
    facts = Facts({"processes": Processes(list(live), list(lost))})
    parts = queues.build_queue_parts(facts, backlogs, list(paused), NOW, deployment_owner=False)
    return next(part for part in parts if part.name == f"queue:{queue}")


class TestQueues:
    def test_a_queue_with_workers_shows_its_threads_and_what_waits(self) -> None:
        part = build_queue("sending", build_process(), backlog={"due": 7, "oldest_seconds": 6.0})
        assert (part.state, part.figure, part.gauge) == ("ready", "5 of 32 threads busy", (5, 32))
        assert part.detail == "1 worker · 7 wait, oldest 6 s"
        assert part.since == seconds_ago(600)

    def test_a_queue_without_workers_fails_since_the_last_one_was_seen(self) -> None:
        lost = build_process(last_seen=seconds_ago(40).isoformat())
        part = build_queue("sending", lost=[lost], backlog={"due": 3, "oldest_seconds": 40.0})
        assert part.state == "failing"
        assert part.problem is not None
        assert (part.problem.key, part.problem.since) == ("no_worker:sending", seconds_ago(40))
        assert "3 executions wait" in part.problem.meaning

    def test_a_lost_worker_beside_a_live_one_is_a_warning(self) -> None:
        part = build_queue("sending", build_process(), lost=[build_process(pid=2)])
        assert (part.state, [problem.key for problem in part.problems]) == ("degraded", ["worker_lost:sending"])

    @pytest.mark.parametrize(("oldest", "severity"), [(119.0, None), (121.0, "warning"), (601.0, "critical")])
    def test_a_queue_that_falls_behind_is_late(self, oldest: float, severity: str | None) -> None:
        part = build_queue("sending", build_process(), backlog={"due": 9, "oldest_seconds": oldest})
        assert (part.problem and part.problem.severity) == severity

    def test_a_wrong_clock_is_only_warned_of(self) -> None:
        part = build_queue("sending", build_process(clock_skew_seconds=-600.0))
        assert part.state == "ready"
        assert part.problem is not None
        assert (part.problem.severity, part.problem.title) == (
            "warning", "The clock of a process is 10 min behind",
        )  # fmt: skip

    def test_a_paused_queue_is_paused_and_not_failing(self) -> None:
        part = build_queue("sending", build_process(), paused=["sending"])
        assert (part.state, part.problem and part.problem.severity) == ("paused", "notice")

    def test_without_redis_nothing_is_known_of_workers(self) -> None:
        parts = queues.build_queue_parts(Facts({"processes": Unmeasured("x")}), {}, [], NOW, deployment_owner=True)
        assert {part.state for part in parts} == {"unknown"}

    def test_the_processor_runs_with_a_worker_on_every_queue_and_a_leader(self) -> None:
        row = {"host": "app-1", "pid": 1, "since": NOW, "seen_at": NOW, "seconds_ago": 1.0}
        complete = Processes([build_process(queues=QUEUES)], [])
        assert leader.judge_processor(Facts({"processes": complete, "leader": row})) == "running"
        stale = {**row, "seconds_ago": 11.0}
        assert leader.judge_processor(Facts({"processes": complete, "leader": stale})) == "degraded"
        assert leader.judge_processor(Facts({"processes": Processes([], []), "leader": row})) == "stopped"

    def test_a_lost_scheduler_beside_the_leader_is_a_warning(self) -> None:
        row = {"host": "app-1", "pid": 1, "since": NOW, "seen_at": NOW, "seconds_ago": 1.0}
        live, lost = build_process(program="scheduler", queues=()), build_process(program="scheduler", queues=(), pid=2)
        facts = Facts({"processes": Processes([live], [lost]), "leader": row})
        part = leader.build_leader_part(facts, deployment_owner=False)
        assert (part.state, [problem.key for problem in part.problems]) == ("degraded", ["worker_lost:leader"])
        assert part.figure == ""
        assert leader.build_leader_part(facts, deployment_owner=True).figure == "app-1"

    def test_caches_are_added_up_over_all_processes(self) -> None:
        facts = Facts({"processes": Processes([build_process(), build_process(pid=2)], [])})
        totals = cache.sum_caches(facts)
        assert totals == cache.CacheTotals(92, 1024, 180, 20)
        assert totals.utilization == 0.0898
        part = cache.build_cache_part(facts)
        assert part.text == "92 of 1,024 entries (9%) · 180 hits, 20 misses · 2 processes"


def build_service_facts(**changes: Any) -> ProviderFacts:
    missing = {"telnyx": ["TELNYX_API_KEY", "TELNYX_MESSAGING_PROFILE_ID"]}
    facts = ProviderFacts(
        WorkspaceFacts(settings.load(), missing, sandboxed=False), pauses=Pauses([], {}), calls=Calls([], [], None),
        used=set(), now=NOW,
    )  # fmt: skip
    return replace(facts, **changes)


def find_service(name: str, facts: ProviderFacts) -> Part:
    return next(part for part in services.build_service_parts(facts) if part.name == name)


def build_send(age: float, error_class: str | None = None) -> SendRow:
    return {
        "provider": "mailgun", "sandbox": False, "sending_at": seconds_ago(age),
        "sent_at": None if error_class else seconds_ago(age - 0.24), "error_class": error_class,
        "error_message": error_class and "Mailgun took too long.",
    }  # fmt: skip


class TestServices:
    def test_a_provider_that_accepts_is_ready_with_its_measured_time(self) -> None:
        series = {"ms:mailgun:23": [0] * 29 + [1]}
        part = find_service("email", build_service_facts(calls=Calls([build_send(3.24)], [], None), series=series))
        assert (part.state, part.note, part.detail) == (
            "ready",
            "Mailgun",
            "configured · last accepted 3 s ago · p95 249 ms",
        )

    def test_a_provider_that_refuses_look_ups_is_degraded(self) -> None:
        row = {"provider": "mailgun", "message": "Mailgun refused the request.", "credentials_fingerprint": "f",
               "refused_at": seconds_ago(60)}  # fmt: skip
        part = find_service("email", build_service_facts(refusals={"mailgun": row}))
        assert part.problem is not None
        assert (part.state, part.problem.title) == ("degraded", "Mailgun key cannot read events")
        assert part.problem.since == seconds_ago(60)

    def test_a_provider_whose_calls_fail_is_failing_although_it_is_configured(self) -> None:
        sends = [build_send(60), *(build_send(age, "timeout") for age in (30, 20, 9))]
        part = find_service("email", build_service_facts(calls=Calls(sends, [], None)))
        assert (part.state, part.since) == ("failing", seconds_ago(30))
        assert part.problem is not None
        assert part.problem.severity == "critical"
        assert "Mailgun took too long." in part.problem.meaning

    @pytest.mark.parametrize(
        ("reason", "state"), [("operator", "paused"), ("configuration", "failing"), ("timeouts", "failing")]
    )
    def test_a_pause_says_since_when_and_what_waits(self, reason: Any, state: str) -> None:
        row: Any = {"kind": "provider", "name": "mailgun", "reason": reason, "message": "The key was refused.",
                    "retry_at": None, "created_at": seconds_ago(100), "actor_name": "Jonas Weber"}  # fmt: skip
        pauses = Pauses([row], {"provider:mailgun": 38})
        part = find_service("email", build_service_facts(pauses=pauses))
        assert (part.state, part.since, part.detail) == (state, seconds_ago(100), "38 messages wait")

    def test_missing_settings_are_a_problem_only_where_they_block_something(self) -> None:
        unused = find_service("sms", build_service_facts())
        assert (unused.state, unused.problems) == ("not_configured", ())
        used = find_service("sms", build_service_facts(used={"send_sms"}))
        assert used.state == "failing"
        assert used.problem is not None
        assert used.problem.key == "not_configured:telnyx"

    def test_the_demo_uses_the_sandbox_for_what_is_not_configured(self) -> None:
        facts = build_service_facts(used={"send_sms"})
        part = find_service("sms", replace(facts, workspace=replace(facts.workspace, sandboxed=True)))
        assert (part.state, part.detail, part.badge) == ("ready", "uses the sandbox · no calls yet", "Not called yet")
        without = replace(facts, workspace=replace(facts.workspace, sandboxed=True), sandbox_answers=False)
        assert find_service("sms", without).state == "failing"

    def test_configuration_names_variable_what_it_blocks_and_where_to_set_it(self) -> None:
        first = list_missing_settings(build_service_facts(used={"send_sms"}))[0]
        assert (first.variable, first.blocks, first.meaning, first.place, first.needed) == (
            "TELNYX_API_KEY", "sms", "SMS.", "Settings, Channels, SMS", True,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("url", "is_listed"),
        [("https://beckon.example", False), ("http://beckon.example", True), ("http://127.0.0.1:8080", True)],
    )
    def test_counted_clicks_need_an_address_that_recipients_reach(self, url: str, is_listed: bool) -> None:
        facts = build_service_facts(used={"send_sms", "track_clicks"})
        facts = replace(facts, workspace=replace(facts.workspace, settings=settings.load().replace(url=url)))
        assert ("BECKON_URL" in [row.variable for row in list_missing_settings(facts)]) == is_listed
        sandboxed = replace(facts, workspace=replace(facts.workspace, sandboxed=True))
        rows = {row.variable: row for row in list_missing_settings(sandboxed)}
        assert ("BECKON_URL" in rows) == (url == "http://beckon.example")
        unused = replace(facts, used={"send_sms"})
        assert "BECKON_URL" not in [row.variable for row in list_missing_settings(unused)]

    @pytest.mark.parametrize(("url", "is_listed"), [("https://b.example", False), ("http://b.example", True)])
    def test_one_click_unsubscription_needs_https(self, url: str, is_listed: bool) -> None:
        facts = build_service_facts(used={"send_email"})
        facts = replace(facts, workspace=replace(facts.workspace, settings=settings.load().replace(url=url)))
        assert ("BECKON_URL" in [row.variable for row in list_missing_settings(facts)]) == is_listed


class TestStores:
    def test_an_evicting_or_full_redis_is_a_problem(self) -> None:
        facts = RedisFacts(0.3, "8", "noeviction", used_bytes=50, limit_bytes=100, uptime_seconds=60)

        def find_keys(**changes: Any) -> list[str]:
            changed = Facts({"redis": replace(facts, **changes)})
            part = stores.build_redis_part(changed, NOW, settings.load(), deployment_owner=True)
            return [problem.key for problem in part.problems]

        assert find_keys() == []
        assert find_keys(policy="allkeys-lru") == ["redis_policy"]
        assert find_keys(used_bytes=81) == ["redis_memory"]

    def test_a_slow_or_read_only_postgresql_is_a_problem(self) -> None:
        server = ServerFacts(0.8, "18.0", NOW, read_only=False)

        def find_state(server: ServerFacts, newest: str = "9999_last") -> str:
            facts = Facts({"postgres": server, "migrations": newest})
            return stores.build_postgres_part(facts, 14, settings.load()).state

        assert find_state(server) == "ready"
        assert find_state(replace(server, latency_ms=300.0)) == "degraded"
        assert find_state(replace(server, read_only=True)) == "failing"
        assert find_state(server, newest="0001_tenants") == "failing"

    @pytest.mark.parametrize(("free_mb", "key"), [(5_000, None), (900, "disk_nearly_full"), (90, "disk_full")])
    def test_a_disk_warns_before_it_is_full(self, free_mb: int, key: str | None) -> None:
        config = settings.load().replace(disk_reserve_mb=1000, embedded_database=True)
        problem = stores.find_disk_problem(DiskFacts(10**11, free_mb * 10**6), config)
        assert (problem and problem.key) == key

    def test_a_full_disk_refuses_nothing_where_postgresql_is_elsewhere(self) -> None:
        config = settings.load().replace(embedded_database=False)
        problem = stores.find_disk_problem(DiskFacts(10**11, 10**6), config)
        assert problem is not None
        assert (problem.key, problem.severity) == ("disk_nearly_full", "warning")
        assert "log lines are dropped" in problem.meaning

    @pytest.mark.parametrize(
        ("reason", "sighting", "own_remedy", "embedded_remedy"),
        [
            ("connection to server failed: Connection refused", "nothing listens", "Start the server", "postgres.log"),
            ("no answer for 3 s", "PostgreSQL does not answer", "network", "kill -CONT"),
            ("password authentication failed", "refuses connections", "the password", "postgres.log"),
        ],
    )
    def test_each_way_not_to_answer_has_its_words_and_remedy(
        self, reason: str, sighting: str, own_remedy: str, embedded_remedy: str
    ) -> None:
        facts = Facts({"postgres": Unmeasured(reason)})
        for embedded, remedy in ((False, own_remedy), (True, embedded_remedy)):
            config = settings.load().replace(embedded_database=embedded)
            (problem,) = stores.build_postgres_part(facts, None, config).problems
            assert sighting in problem.title
            assert reason in problem.meaning
            assert remedy in problem.remedy
            assert ("DATABASE_URL" in problem.remedy) is not embedded
            assert "beckon up`" not in problem.remedy or embedded


def test_problems_are_sorted_worst_first_then_oldest() -> None:
    def build(key: str, severity: Any, age: float | None) -> Problem:
        return Problem(key, "p", severity, "t", "m", "r", seconds_ago(age) if age else None)

    problems = [
        build("a", "notice", 90),
        build("b", "critical", 5),
        build("c", "critical", 50),
        build("d", "warning", 1),
    ]
    assert [problem.key for problem in sort_problems(problems)] == ["c", "b", "d", "a"]


def test_only_a_part_that_does_not_work_degrades_the_whole() -> None:
    ready = Part("a", "A", "stores", "ready", "")
    assert judge_status([ready, replace(ready, state="paused")], is_down=False) == "ok"
    assert judge_status([ready, replace(ready, state="failing")], is_down=False) == "degraded"
    assert judge_status([ready], is_down=True) == "down"


def test_a_newer_version_on_disk_changes_nothing_that_the_running_one_needs(tmp_path, monkeypatch):
    newest = stores.list_pending_migrations(None)[-1]
    (tmp_path / "9999_pre_example.up.sql").touch()
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    assert stores.list_pending_migrations(newest) == []
    assert stores.list_pending_migrations(None)[-1] == newest
