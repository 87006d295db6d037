"""Tracked executions are delivered as triggers are: buffered or at once, each counted once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from beckon_client import AsyncClient, Client, DeliveryError, RejectedError
from tests.clients.conftest import Service, lose_answer, respond
from tests.dashboard.producers import Producer

Connect = Callable[..., Client]

VISIT: Any = {
    "status": "success",
    "execution_time_ms": 250,
    "page_url": "https://example.com/pricing",
    "device_type": "desktop",
    "trigger_name": "UTM Parameters",
    "actions": [{"name": "Replace Text", "selector": ".title", "executionTimeMs": 45}],
}


@pytest.fixture
def playbook(alice: Producer) -> str:
    """The id of an automation of Alice's: every own automation may be tracked with a key."""
    return str(alice.create()["id"])


def test_a_tracked_execution_answers_its_id(connect: Connect, playbook: str) -> None:
    client = connect()
    answer = client.track_now(playbook, execution_id="visit-1", **VISIT)
    assert (answer["executionId"], answer["duplicate"], answer["tracked"]) == ("visit-1", False, True)
    assert client.track_now(playbook, execution_id="visit-1", **VISIT)["duplicate"] is True


def test_600_buffered_executions_are_two_batches(connect: Connect, service: Service, playbook: str) -> None:
    client = connect(linger_seconds=30)
    ids = {client.track(playbook, **VISIT) for _ in range(600)}
    assert client.flush()
    assert (len(ids), client.statistics.accepted) == (600, 600)
    assert service.paths == ["/api/track-executions"] * 2


@pytest.mark.usefixtures("quick_retries")
def test_a_lost_answer_counts_no_execution_twice(connect: Connect, service: Service, playbook: str) -> None:
    service.faults += [respond("503 Unavailable"), lose_answer]
    client = connect()
    for _ in range(3):
        client.track(playbook, **VISIT)
    assert client.flush()
    assert (client.statistics.accepted, client.statistics.duplicates, client.statistics.retries) == (0, 3, 2)


def test_a_rejected_execution_goes_to_on_error_with_its_field_paths(connect: Connect, playbook: str) -> None:
    errors: list[DeliveryError] = []
    client = connect(on_error=errors.append, linger_seconds=30)
    client.track(playbook, **VISIT)
    client.track(playbook, actions=[{"name": ""}])
    client.track("01a00000-0000-7000-8000-000000000000")
    assert client.flush()
    assert client.statistics.accepted == 1
    assert {(error.status, error.errors[0]["path"]) for error in errors} == {
        (422, "actions[0].name"),
        (404, "workflowId"),
    }
    assert all(isinstance(error, RejectedError) for error in errors)


def test_triggers_and_executions_do_not_wait_for_each_other(
    connect: Connect, service: Service, playbook: str, count_triggers: Callable[[], int]
) -> None:
    client = connect()
    client.trigger("visit")
    client.track(playbook, **VISIT)
    assert client.flush()
    assert sorted(service.paths) == ["/api/track-executions", "/api/triggers/batch"]
    assert (count_triggers(), client.statistics.accepted) == (1, 2)


def test_a_switched_off_tracking_is_said_and_not_counted(
    connect: Connect, alice: Producer, playbook: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert alice.put("/api/settings/switches", {"executionTracking": False}).status_code == 200
    client = connect()
    assert client.track_now(playbook, **VISIT)["tracked"] is False
    caplog.set_level(logging.WARNING, "beckon_client")
    client.track(playbook, **VISIT)
    assert client.flush()
    assert client.statistics.accepted == 0
    assert "Execution tracking is switched off in Beckon: 1 entries were not stored" in caplog.text


def test_coroutines_track_too(service: Service, alice: Producer, playbook: str) -> None:
    async def main() -> tuple[bool, int]:
        async with AsyncClient(service.url, alice.secret) as client:
            await client.track(playbook, **VISIT)
            answer = await client.track_now(playbook, **VISIT)
            await client.flush()
            return answer["tracked"], client.statistics.accepted

    assert asyncio.run(main()) == (True, 1)
