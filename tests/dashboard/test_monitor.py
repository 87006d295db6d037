"""The monitor over HTTP: the contract's snapshot, as JSON and as a stream, for those who may see it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import flask
import pytest
import walks
from flask.testing import FlaskClient

import clock
from dashboard.api.monitor import _SNAPSHOT
from dashboard.live.feeds import Feeds
from dashboard.pages import remedies, words
from models.database import acting_as, changed
from rules.errors import BY_CLASS
from rules.stages import STAGES
from tests.dashboard.cast import Producer
from tests.dashboard.test_access import add_person, sign_in


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def path(automation: dict[str, Any]) -> str:
    return f"/api/ai-automations/{automation['id']}/monitor"


def snapshot(alice: Producer, automation: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = alice.post(path(automation) + query)
    assert answer.status_code == 200, answer.json
    assert answer.json["success"] is True
    return dict(answer.json["snapshot"])


def frames(answer: Any, count: int) -> list[dict[str, Any]]:
    """The next events of a stream."""
    found: list[dict[str, Any]] = []
    for chunk in answer.iter_encoded():
        for event in chunk.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
            if "data" in fields:
                found.append({**fields, "data": json.loads(fields["data"])})
        if len(found) >= count:
            return found
    return found


def undescribed(answer: Any, shape: dict[str, Any], at: str = "") -> list[str]:
    """The fields of an answer that its shape does not name."""
    if isinstance(answer, list):
        return [path for one in answer for path in undescribed(one, shape.get("items", {}), f"{at}[]")]
    if not isinstance(answer, dict):
        return []
    known = shape.get("properties", {})
    strange = [f"{at}.{name}" for name in answer if name not in known]
    return strange + [path for name in known.keys() & answer for path in undescribed(answer[name], known[name], name)]


def test_every_field_of_a_snapshot_is_described(alice: Producer, automation: dict[str, Any]) -> None:
    for stage in ("generating", "skipped"):
        walks.walk(alice.workspace_id, automation["id"], stage)
    assert undescribed(snapshot(alice, automation), _SNAPSHOT) == []


def test_a_snapshot_is_the_one_of_the_contract(alice: Producer, automation: dict[str, Any]) -> None:
    one = walks.walk(alice.workspace_id, automation["id"], "generating", name="Ada Byron", ago=8)
    found = snapshot(alice, automation)
    assert found["at"].endswith("Z")
    assert found["automation"]["id"] == automation["id"]
    assert (found["automation"]["name"], found["automation"]["enabled"]) == ("Welcome", True)
    assert [stage["stage"] for stage in found["stages"]] == list(STAGES)
    assert {"stage", "count", "averageSeconds"} <= set(found["stages"][0])
    (contact,) = found["contacts"]
    assert contact["secondsInStage"] in (8, 9)
    assert contact.items() >= {
        "executionId": one, "name": "Ada Byron", "stage": "generating", "sendsInSeconds": None, "error": None,
        "messagePreview": None, "generationMs": None, "test": False,
        "followUp": {"count": 0, "max": 0, "nextCheckAt": None},
    }.items()  # fmt: skip
    assert found["totals"].items() >= {
        "active": 1, "last24Hours": 1, "sent": 0, "skipped": 0, "failed": 0, "unknown": 0,
    }.items()  # fmt: skip


def test_each_state_is_told_in_an_operators_words(alice: Producer, automation: dict[str, Any]) -> None:
    where = (alice.workspace_id, automation["id"])
    walks.walk(*where, "generating", name="John")
    ready = walks.walk(*where, "ready_to_send", name="Jane", **walks.waiting(waiting_for="time", due_in=355))
    walks.write(*where, ready, "Hi Jane,\n following up " + "on the pricing question " * 10, generation_ms=1243)
    walks.walk(*where, "failed", name="Sarah", error_class="rate_limit", error_message="Mailgun asks to wait.")
    walks.walk(*where, "eligible", name="Lena", **walks.waiting(waiting_for="window", due_in=2575))
    walks.walk(*where, "sent", name="Ken", **walks.waiting(waiting_for="follow_up", due_in=86_335))
    walks.walk(*where, "skipped", name="Ines")
    told = {one["name"]: one for one in snapshot(alice, automation)["contacts"]}
    assert told["John"]["says"] == "AI writing the message"
    assert told["Jane"]["says"].startswith("“Hi Jane, following up on the pricing")
    assert told["Jane"]["messagePreview"].endswith("…")
    assert len(told["Jane"]["messagePreview"]) <= 141
    assert 300 <= told["Jane"]["sendsInSeconds"] <= 355
    assert told["Jane"]["next"] == "sends in 5 m"
    assert told["Jane"]["generationMs"] == 1243
    assert told["Sarah"]["error"] == told["Sarah"]["says"] == "Rate limit: Mailgun asks to wait."
    assert told["Lena"]["next"] == "opens in 42 m"
    assert told["Sarah"]["next"] == "retry it when the provider lets it through"
    assert told["Ken"]["followUp"]["nextCheckAt"].endswith("Z")
    assert (told["Ken"]["says"], told["Ken"]["next"]) == ("Sent. Watches for a reply", "checks again in 23 h 58 m")
    assert told["Ines"]["says"] == "Outside the active hours"


@pytest.mark.parametrize("error_class", sorted(BY_CLASS))
def test_whoever_failed_is_shown_with_what_to_do(error_class: str) -> None:
    assert remedies.BRIEFLY[error_class]
    assert words.ERRORS[error_class]


def test_whose_worker_fell_silent_is_not_said_to_be_worked_on(alice: Producer, automation: dict[str, Any]) -> None:
    where = (alice.workspace_id, automation["id"])
    walks.walk(*where, "generating", name="John", lease_until=clock.now() - timedelta(seconds=1))
    walks.walk(*where, "generating", name="Jane")
    told = {one["name"]: one["says"] for one in snapshot(alice, automation)["contacts"]}
    assert told == {"John": "Its worker fell silent; another takes it over", "Jane": "AI writing the message"}


def test_the_numbers_are_said_as_a_result(alice: Producer, automation: dict[str, Any]) -> None:
    for stage in ("completed", "completed", "skipped"):
        walks.walk(alice.workspace_id, automation["id"], stage)
    assert snapshot(alice, automation)["totals"]["says"] == "2 sent, 1 skipped, 0 failed"


def test_a_past_moment_is_shown_within_six_hours(alice: Producer, automation: dict[str, Any]) -> None:
    walks.walk(alice.workspace_id, automation["id"], "completed", name="Ada", ago=600, each=300)

    def at(**ago: float) -> str:
        return (clock.now() - timedelta(**ago)).isoformat().replace("+00:00", "Z")

    found = snapshot(alice, automation, f"?at={at(minutes=17)}")
    assert [one["stage"] for one in found["contacts"]] == ["sending"]
    assert found["at"] < at(minutes=16)
    for wrong in (at(hours=7), at(hours=-1), "yesterday"):
        answer = alice.post(f"{path(automation)}?at={wrong}")
        assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "at")


def test_a_stream_begins_with_a_snapshot_and_cannot_be_kept_back(alice: Producer, automation: dict[str, Any]) -> None:
    answer = alice.get(path(automation))
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert "no-cache" in answer.headers["Cache-Control"]
    assert answer.headers["X-Accel-Buffering"] == "no"
    first = next(answer.iter_encoded()).decode()
    assert first.startswith("retry: 2000\n: ping\n\nevent: snapshot\nid: ")
    (frame,) = frames(alice.get(path(automation)), 1)
    assert frame["event"] == "snapshot"
    assert frame["data"]["automation"]["id"] == automation["id"]
    answer.close()


def test_the_next_snapshot_comes_by_itself_and_shows_what_moved(alice: Producer, automation: dict[str, Any]) -> None:
    one = walks.walk(alice.workspace_id, automation["id"], "generating")
    answer = alice.get(path(automation))
    (first,) = frames(answer, 1)
    with acting_as(alice.workspace_id):
        changed("update executions set stage = 'ready_to_send' where id = %s", (one,))
    (second,) = frames(answer, 1)
    answer.close()
    assert [frame["data"]["contacts"][0]["stage"] for frame in (first, second)] == ["generating", "ready_to_send"]
    assert int(second["id"]) > int(first["id"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_tenants_automation_is_not_there(
    alice: Producer, charlie: Producer, automation: dict[str, Any], method: str
) -> None:
    assert charlie.ask(method, path(automation)).status_code == 404


def test_a_deleted_automation_is_not_there(alice: Producer, automation: dict[str, Any]) -> None:
    assert alice.ask("DELETE", f"{alice.automations}/{automation['id']}").status_code == 200
    assert alice.get(path(automation)).status_code == 404


def test_a_viewer_may_watch(alice: Producer, client: FlaskClient, automation: dict[str, Any]) -> None:
    add_person(alice.workspace_id, "viewer")
    sign_in(client)
    answer = client.get(path(automation))
    assert answer.status_code == 200
    assert frames(answer, 1)[0]["data"]["contacts"] == []
    answer.close()


def test_one_more_than_may_watch_is_told_when_to_come_back(
    app: flask.Flask, alice: Producer, automation: dict[str, Any]
) -> None:
    feeds: Feeds = app.extensions["feeds"]
    app.extensions["feeds"] = Feeds(feeds._read, most=1)
    first = alice.get(path(automation))
    frames(first, 1)
    refused = alice.get(path(automation))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    first.close()
    assert alice.get(path(automation)).status_code == 200
    app.extensions["feeds"].close()
    app.extensions["feeds"] = feeds


def test_tests_can_be_left_out(alice: Producer, automation: dict[str, Any]) -> None:
    walks.walk(alice.workspace_id, automation["id"], "generating", test=True)
    assert [one["test"] for one in snapshot(alice, automation)["contacts"]] == [True]
    assert snapshot(alice, automation, "?test=false")["contacts"] == []
