"""The examples of the producers' documents run as they are printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker

import settings
from rules.trigger_bodies import parse_request
from rules.trigger_requests import TriggerRequest
from tests.clients.conftest import Service
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually

README = settings.ROOT / "clients" / "python" / "README.md"
PRODUCERS = settings.ROOT / "docs" / "producers.md"


def list_examples(document: Path) -> list[str]:
    """The blocks of Python code."""
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_the_python_client_run(
    service: Service,
    alice: Producer,
    count_triggers: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BECKON_URL", service.url)
    monkeypatch.setenv("BECKON_API_KEY", alice.secret)
    names: dict[str, Any] = {"automation_id": alice.create()["id"]}
    for example in list_examples(README):
        exec(compile(example, str(README), "exec"), names)
    assert names["client"].close()
    assert (names["client"].statistics.accepted, names["client"].statistics.failed) == (1, 0)
    assert names["answer"]["executions"][0]["executionId"] in capsys.readouterr().out
    # Nobody waits for the client of the first example.
    eventually(lambda: count_triggers() == 4)


def test_the_message_in_redis_is_one_that_the_workers_accept(
    redis_url: str, workspaces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BECKON_WORKSPACE_ID", workspaces.alice)
    monkeypatch.setenv("REDIS_URL", redis_url)
    (example,) = list_examples(PRODUCERS)
    names: dict[str, Any] = {}
    exec(compile(example, str(PRODUCERS), "exec"), names)
    broker: RedisBroker = names["broker"]
    (content,) = broker.client.hvals("dramatiq:triggers.msgs")
    message = dramatiq.Message.decode(content)
    assert (message.queue_name, message.actor_name) == ("triggers", "receive_trigger")
    trigger = message.kwargs["trigger"]
    assert trigger.pop("workspaceId") == workspaces.alice
    assert isinstance(parse_request(trigger), TriggerRequest)
    broker.client.close()
