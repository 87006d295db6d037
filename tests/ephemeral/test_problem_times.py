"""When a problem was first seen, by any process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from ephemeral import problem_times
from tasks.health import problem_times as process_times
from tasks.health.parts import Part, Problem

pytestmark = pytest.mark.usefixtures("client")

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=3)
DISK, LEADER = ("disk", "disk_full"), ("leader", "no_leader")


def test_the_first_process_that_saw_a_problem_says_since_when() -> None:
    assert problem_times.keep(["disk", "leader"], {DISK: NOON}) == {DISK: NOON}
    assert problem_times.keep(["disk", "leader"], {DISK: LATER, LEADER: LATER}) == {DISK: NOON, LEADER: LATER}


def test_a_problem_that_ended_begins_anew() -> None:
    problem_times.keep(["disk"], {DISK: NOON})
    assert problem_times.keep(["disk"], {}) == {}
    assert problem_times.keep(["disk"], {DISK: LATER}) == {DISK: LATER}


def test_a_measurement_of_other_parts_ends_no_problem() -> None:
    problem_times.keep(["disk"], {DISK: NOON})
    problem_times.keep(["leader"], {LEADER: LATER})
    assert problem_times.keep(["disk"], {DISK: LATER}) == {DISK: NOON}


def build_part(name: str, *keys: str) -> Part:
    problems = tuple(Problem(key, name, "critical", key, "", "") for key in keys)
    return Part(name, name, "stores", "failing" if keys else "ready", "", problems=problems)


def test_two_processes_show_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for moment in (NOON, LATER):
        monkeypatch.setattr(process_times, "_first_seen", {})
        (part,) = process_times.fill_times([build_part("disk", "disk_full")], moment)
        seen.append((part.since, part.problems[0].since))
    assert seen == [(NOON, NOON)] * 2


def test_without_redis_a_process_has_its_own_times(no_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_times, "_first_seen", {})
    for moment in (NOON, LATER):
        (part,) = process_times.fill_times([build_part("disk", "disk_full")], moment)
        assert part.since == NOON
