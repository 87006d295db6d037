"""Whatever Redis answers, or does not, triggers are accepted, and every page and probe says what is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from ephemeral.connection import get_breaker
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import sign_in_as
from tests.support.refusing_redis import RefusingRedis
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

REFUSALS = [
    "MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "NOPERM User beckon has no permissions to access one of the keys used as arguments",
    "NOAUTH Authentication required.",
    "ERR DB index is out of range",
    "MOVED 3999 127.0.0.1:6381",
    "UNHEARD-OF of any client",
]
BROKEN = {"not Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n", "another kind": b"*2\r\n+OK\r\n:1\r\n", "yes": b"+OK\r\n"}


def list_refusals() -> list[Any]:
    """The answer of each refusal; in every run the first and the last."""
    params = [
        pytest.param(f"-{text}\r\n".encode(), id=text.split()[0], marks=pytest.mark.slow) for text in REFUSALS[1:-1]
    ]
    return [f"-{REFUSALS[0]}\r\n".encode(), *params, f"-{REFUSALS[-1]}\r\n".encode()]


@pytest.fixture
def answer() -> bytes:
    return b""


@pytest.fixture
def refusing_redis(answer: bytes) -> Iterator[RefusingRedis]:
    # A socket's path may have 107 bytes, and pytest's directories are long.
    with tempfile.TemporaryDirectory(prefix="beckon-refuses-") as directory:
        server = RefusingRedis(Path(directory) / "redis.sock", answer)
        yield server
        server.close()


@pytest.fixture
def config(refusing_redis: RefusingRedis) -> settings.Settings:
    return settings.load().replace(redis_url=refusing_redis.url)


def trigger(alice: Producer, number: int = 1) -> Any:
    return alice.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": f"c{number}"}})


def expect_service(alice: Producer, client: FlaskClient) -> list[str]:
    """Everything is answered; return the titles of the problems of Health."""
    alice.create()
    accepted = trigger(alice)
    assert (accepted.status_code, len(accepted.json["executions"])) == (202, 1)
    batch = alice.post("/api/triggers/batch", {"triggers": [{"type": "a", "contact": {"externalId": "b"}}]})
    assert batch.status_code == 202
    readiness = client.get("/readyz")
    assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")
    health = alice.get("/api/health")
    assert health.status_code == 200
    assert alice.get("/api/queues").json["redis"] == "down"
    bob = sign_in_as(client, alice)
    for path in ("/health", "/queues", "/executions", "/executions/pending", "/summary", "/automations", "/metrics"):
        assert bob.get(path).status_code == 200, path
    problems = health.json["problems"]
    assert not [problem for problem in problems if problem["key"].startswith(("no_worker", "worker_lost"))]
    assert {problem["title"] for problem in problems} & set(readiness.json["reasons"])
    return [problem["title"] for problem in problems if problem["part"] == "redis"]


@pytest.mark.parametrize("answer", list_refusals())
def test_a_redis_that_refuses_everything_costs_no_trigger(
    alice: Producer, client: FlaskClient, config: settings.Settings, answer: bytes
) -> None:
    code = answer.split()[0].lstrip(b"-").decode().partition("-")[0]
    # Without the right to connect, or the database of the queues, it answers nothing that can be measured.
    assert expect_service(alice, client)[0] in (
        f"Redis refuses changes ({code})",
        "Redis refuses changes",
        "Redis does not answer",
    )


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_a_server_that_is_no_redis_costs_no_trigger(
    alice: Producer, client: FlaskClient, config: settings.Settings, answer: bytes
) -> None:
    assert expect_service(alice, client)


def test_nobody_waits_for_a_redis_that_answered_nobody(
    alice: Producer, client: FlaskClient, config: settings.Settings
) -> None:
    assert expect_service(alice, client) == ["Redis does not answer"]
    waited = get_breaker(config).failures
    for number in range(100):
        assert trigger(alice, number).status_code == 202
    assert alice.get("/api/health").status_code == 200
    assert get_breaker(config).failures == waited


def test_redis_is_used_again_once_it_answers(
    alice: Producer, client: FlaskClient, config: settings.Settings, refusing_redis: RefusingRedis
) -> None:
    assert trigger(alice).status_code == 202
    assert get_breaker(config).is_open
    refusing_redis.answer = b"-ERR whatever, but an answer\r\n"
    eventually(lambda: not get_breaker(config).is_open)
