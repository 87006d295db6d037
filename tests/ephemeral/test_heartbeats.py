"""Heartbeats: only live processes are listed, each with its queues, pools, memory, cache and clock."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from datetime import datetime, timedelta

import pytest
import redis

import clock
import metrics
from ephemeral import heartbeats, workflow_cache
from ephemeral.connection import ERRORS
from ephemeral.heartbeats import Heartbeat, Pool, Process
from tests.support.waiting import eventually


def test_a_process_with_a_heartbeat_is_listed_with_its_queues(client: redis.Redis) -> None:
    heartbeats.record(["executions", "triggers"], clock.now())
    (worker,) = heartbeats.list_workers()
    assert (worker.pid, worker.queues) == (os.getpid(), ("executions", "triggers"))
    assert client.ttl(next(iter(client.scan_iter("process:*")))) <= heartbeats.TTL_SECONDS


def test_a_heartbeat_describes_the_process(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now(), program="sending", pools={"sending": Pool(32, 5)})
    (process,) = heartbeats.list_processes()
    assert process.pools == {"sending": Pool(32, 5)}
    assert (process.program, process.version, process.leader) == ("sending", metrics.read_version(), False)
    assert process.cache.capacity == workflow_cache.CAPACITY + workflow_cache.VERSION_CAPACITY
    assert 1_000_000 < process.memory_bytes < 10**11
    assert abs(process.clock_skew_seconds) < 5
    assert datetime.fromisoformat(process.started_at) <= clock.now()


@pytest.mark.servers
def test_a_process_whose_clock_is_wrong_is_seen_by_the_clock_of_redis(
    real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 600)
    heartbeats.record(["sending"], clock.now())
    monkeypatch.undo()
    (process,) = heartbeats.list_workers()
    assert 595 < process.clock_skew_seconds < 605
    assert datetime.fromisoformat(process.last_seen) <= clock.now()


def test_two_programs_of_one_process_id_are_two_processes(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now(), program="sending")
    heartbeats.record([], clock.now(), program="scheduler", leader=True)
    assert [process.program for process in heartbeats.list_processes() if process.leader] == ["scheduler"]
    assert [process.program for process in heartbeats.list_workers()] == ["sending"]


def test_a_process_without_a_heartbeat_is_not_listed(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    client.delete(*client.scan_iter("process:*"))
    assert heartbeats.list_workers() == []
    assert client.scard("processes") == 0


def test_a_killed_process_is_lost_until_another_of_its_program_starts(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now() - timedelta(minutes=1), program="sending")
    client.delete(*client.scan_iter("process:*"))
    (lost,) = heartbeats.list_lost(heartbeats.list_processes())
    assert (lost.program, lost.pid) == ("sending", os.getpid())

    def replace(**changes: object) -> list[Process]:
        return heartbeats.list_lost([dataclasses.replace(lost, pid=1, **changes)])  # type: ignore[arg-type]

    later = (datetime.fromisoformat(lost.last_seen) + timedelta(seconds=1)).isoformat()
    assert replace(started_at=later) == []
    assert replace(started_at=lost.started_at) == [lost]
    assert replace(started_at=later, program="tracking") == [lost]


def test_each_process_that_starts_replaces_one_that_was_lost(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now() - timedelta(minutes=5), program="sending")
    ((key, text),) = client.hgetall("last-heartbeats").items()
    client.delete(*client.scan_iter("process:*"))
    seen_ms, _, report = text.partition(" ")
    client.hset("last-heartbeats", key + "1", f"{int(seen_ms) - 60_000} {report}")
    first, second = heartbeats.list_lost([])
    starts = [datetime.fromisoformat(process.last_seen) + timedelta(seconds=1) for process in (first, second)]
    live = [
        dataclasses.replace(first, pid=pid, started_at=at.isoformat()) for pid, at in zip((1, 2), starts, strict=True)
    ]
    for order in (live, live[::-1]):
        assert heartbeats.list_lost(order) == []
    assert heartbeats.list_lost(live[:1]) == [second]


def test_a_process_that_was_killed_twice_is_replaced_by_the_last_one(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now() - timedelta(minutes=1), program="sending")
    ((key, text),) = client.hgetall("last-heartbeats").items()
    client.delete(*client.scan_iter("process:*"))
    seen_ms, _, report = text.partition(" ")
    client.hset("last-heartbeats", key + "1", f"{int(seen_ms) - 90_000} {report}")
    (last,) = heartbeats.list_lost([])
    assert last.pid == os.getpid()
    at = datetime.fromisoformat(last.last_seen) + timedelta(seconds=1)
    assert heartbeats.list_lost([dataclasses.replace(last, pid=1, started_at=at.isoformat())]) == []


def test_a_process_that_ended_in_order_or_long_ago_is_not_lost(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now(), program="sending")
    heartbeats.remove("sending")
    assert heartbeats.list_lost([]) == []

    heartbeats.record(["sending"], clock.now(), program="sending")
    ((key, text),) = client.hgetall("last-heartbeats").items()
    seen_ms, _, report = text.partition(" ")
    client.hset("last-heartbeats", key, f"{int(seen_ms) - heartbeats.LOST_SECONDS * 1000 - 1000} {report}")
    assert heartbeats.list_lost([]) == []
    assert client.hgetall("last-heartbeats") == {}


def test_a_process_removes_itself_at_its_end(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    heartbeats.remove()
    assert heartbeats.list_workers() == []


def test_a_heartbeat_is_recorded_at_once_and_removed_at_the_end(client: redis.Redis) -> None:
    heartbeat = Heartbeat("dashboard").start()
    eventually(lambda: [process.program for process in heartbeats.list_processes()] == ["dashboard"])
    heartbeat.stop()
    assert heartbeats.list_processes() == []


def test_a_killed_process_is_lost_within_fifteen_seconds() -> None:
    assert heartbeats.INTERVAL_SECONDS < heartbeats.TTL_SECONDS < 15


def test_without_redis_listing_workers_raises(no_redis: None) -> None:
    with pytest.raises(ERRORS):
        heartbeats.list_workers()


def test_without_redis_a_heartbeat_never_stops_its_process(no_redis: None) -> None:
    stopping = threading.Event()
    stopping.set()
    measured: list[str] = []

    def read_pools() -> dict[str, Pool]:
        measured.append("pools")
        return {}

    Heartbeat("sending", ["sending"], read_pools).run_until(stopping)
    assert measured == ["pools"]
