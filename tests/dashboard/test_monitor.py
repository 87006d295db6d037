"""The monitor over HTTP: the contract's snapshot as JSON and as a stream, and permissions."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from psycopg2.extras import Json

import clock
from dashboard.api.monitor import _SNAPSHOT
from dashboard.live.feeds import Feeds
from dashboard.live.skip_reasons import describe_group
from models.database import acting_as
from models.queries import execute
from rules.stages import STAGES
from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person, sign_in
from tests.support import histories


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def build_path(automation: dict[str, Any]) -> str:
    return f"/api/ai-automations/{automation['id']}/monitor"


def fetch_snapshot(alice: Producer, automation: dict[str, Any], query: str = "") -> dict[str, Any]:
    response = alice.post(build_path(automation) + query)
    assert response.status_code == 200, response.json
    assert response.json["success"] is True
    return dict(response.json["snapshot"])


def read_frames(response: Any, count: int) -> list[dict[str, Any]]:
    """Read the next events of a stream."""
    events: list[dict[str, Any]] = []
    for chunk in response.iter_encoded():
        for event in chunk.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
            if "data" in fields:
                events.append({**fields, "data": json.loads(fields["data"])})
        if len(events) >= count:
            return events
    return events


def find_undescribed(value: Any, schema: dict[str, Any], prefix: str = "") -> list[str]:
    """The fields of a response that its schema does not declare."""
    if isinstance(value, list):
        return [path for item in value for path in find_undescribed(item, schema.get("items", {}), f"{prefix}[]")]
    if not isinstance(value, dict):
        return []
    properties = schema.get("properties", {})
    strange = [f"{prefix}.{name}" for name in value if name not in properties]
    return strange + [
        path for name in properties.keys() & value for path in find_undescribed(value[name], properties[name], name)
    ]


def test_every_field_of_a_snapshot_is_described(alice: Producer, automation: dict[str, Any]) -> None:
    for stage in ("generating", "skipped"):
        histories.insert_execution(alice.workspace_id, automation["id"], stage)
    assert find_undescribed(fetch_snapshot(alice, automation), _SNAPSHOT) == []


def test_a_snapshot_has_the_fields_of_the_contract(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = histories.insert_execution(
        alice.workspace_id, automation["id"], "generating", name="Ada Byron", ago=8
    )
    snapshot = fetch_snapshot(alice, automation)
    assert snapshot["at"].endswith("Z")
    assert snapshot["automation"]["id"] == automation["id"]
    assert (snapshot["automation"]["name"], snapshot["automation"]["enabled"]) == ("Welcome", True)
    assert [stage["stage"] for stage in snapshot["stages"]] == list(STAGES)
    assert {"stage", "count", "averageSeconds"} <= set(snapshot["stages"][0])
    (contact,) = snapshot["contacts"]
    assert contact["secondsInStage"] in (8, 9)
    assert contact.items() >= {
        "executionId": execution_id, "name": "Ada Byron", "stage": "generating", "sendsInSeconds": None, "error": None,
        "messagePreview": None, "generationMs": None, "test": False,
        "followUp": {"count": 0, "max": 0, "nextCheckAt": None},
    }.items()  # fmt: skip
    assert snapshot["totals"].items() >= {
        "active": 1, "last24Hours": 1, "sent": 0, "skipped": 0, "failed": 0, "unknown": 0,
    }.items()  # fmt: skip


def test_each_state_has_a_text_for_operators(alice: Producer, automation: dict[str, Any]) -> None:
    target = (alice.workspace_id, automation["id"])
    histories.insert_execution(*target, "generating", name="John")
    ready = histories.insert_execution(
        *target, "ready_to_send", name="Jane", **histories.build_waiting_columns(waiting_for="time", due_in=355)
    )
    histories.insert_message(
        *target, ready, "Hi Jane,\n following up " + "on the pricing question " * 10, generation_ms=1243
    )
    histories.insert_execution(
        *target, "failed", name="Sarah", error_class="rate_limit", error_message="Mailgun asks to wait."
    )
    histories.insert_execution(
        *target, "eligible", name="Lena", **histories.build_waiting_columns(waiting_for="window", due_in=2575)
    )
    histories.insert_execution(
        *target, "sent", name="Ken", **histories.build_waiting_columns(waiting_for="follow_up", due_in=86_335)
    )
    event = {"waiting_for": "event", "wait_event": "invoice.paid"}
    histories.insert_execution(
        *target, "eligible", name="Omar", **histories.build_waiting_columns(**event, due_in=2575)
    )
    histories.insert_execution(*target, "skipped", name="Ines")
    contacts = {contact["name"]: contact for contact in fetch_snapshot(alice, automation)["contacts"]}
    assert contacts["John"]["says"] == "AI is writing the message"
    assert contacts["Jane"]["says"].startswith("“Hi Jane, following up on the pricing")
    assert contacts["Jane"]["messagePreview"].endswith("…")
    assert len(contacts["Jane"]["messagePreview"]) <= 141
    assert 300 <= contacts["Jane"]["sendsInSeconds"] <= 355
    assert contacts["Jane"]["next"] == "Sends in 5 min"
    assert contacts["Jane"]["generationMs"] == 1243
    assert contacts["Sarah"]["error"] == contacts["Sarah"]["says"] == "Rate limit: Mailgun asks to wait."
    assert contacts["Lena"]["next"] == "Active hours begin in 42 min"
    assert contacts["Omar"]["next"] == "Waiting for invoice.paid, times out in 42 min"
    assert contacts["Sarah"]["next"] == "Retry when the rate limit allows"
    assert contacts["Ken"]["followUp"]["nextCheckAt"].endswith("Z")
    assert (contacts["Ken"]["says"], contacts["Ken"]["next"]) == (
        "Sent; waiting for a reply",
        "Next check in 23 h 58 min",
    )
    assert contacts["Ines"]["says"] == "Outside the active hours"


def test_an_expired_lease_is_not_shown_as_being_processed(alice: Producer, automation: dict[str, Any]) -> None:
    target = (alice.workspace_id, automation["id"])
    histories.insert_execution(*target, "generating", name="John", lease_until=clock.now() - timedelta(seconds=1))
    histories.insert_execution(*target, "generating", name="Jane")
    texts = {contact["name"]: contact["says"] for contact in fetch_snapshot(alice, automation)["contacts"]}
    assert texts == {"John": "Worker lost; another worker takes over", "Jane": "AI is writing the message"}


def test_the_totals_are_shown_as_text(alice: Producer, automation: dict[str, Any]) -> None:
    for stage in ("completed", "completed", "skipped"):
        histories.insert_execution(alice.workspace_id, automation["id"], stage)
    assert fetch_snapshot(alice, automation)["totals"]["says"] == "2 sent, 1 skipped, 0 failed"


def test_a_past_snapshot_is_available_for_six_hours(alice: Producer, automation: dict[str, Any]) -> None:
    histories.insert_execution(alice.workspace_id, automation["id"], "completed", name="Ada", ago=600, each=300)

    def format_ago(**ago: float) -> str:
        return (clock.now() - timedelta(**ago)).isoformat().replace("+00:00", "Z")

    snapshot = fetch_snapshot(alice, automation, f"?at={format_ago(minutes=17)}")
    assert [contact["stage"] for contact in snapshot["contacts"]] == ["sending"]
    assert snapshot["at"] < format_ago(minutes=16)
    for wrong in (format_ago(hours=7), format_ago(hours=-1), "yesterday"):
        response = alice.post(f"{build_path(automation)}?at={wrong}")
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "at")


def test_a_stream_begins_with_a_snapshot_and_is_not_buffered(alice: Producer, automation: dict[str, Any]) -> None:
    response = alice.get(build_path(automation))
    assert response.status_code == 200
    assert response.mimetype == "text/event-stream"
    assert "no-cache" in response.headers["Cache-Control"]
    assert response.headers["X-Accel-Buffering"] == "no"
    first = next(response.iter_encoded()).decode()
    assert first.startswith("retry: 2000\n: ping\n\nevent: snapshot\nid: ")
    (frame,) = read_frames(alice.get(build_path(automation)), 1)
    assert frame["event"] == "snapshot"
    assert frame["data"]["automation"]["id"] == automation["id"]
    response.close()


def test_the_next_snapshot_shows_the_new_stage(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = histories.insert_execution(alice.workspace_id, automation["id"], "generating")
    response = alice.get(build_path(automation))
    (first,) = read_frames(response, 1)
    with acting_as(alice.workspace_id):
        execute("update executions set stage = 'ready_to_send' where id = %s", (execution_id,))
    (second,) = read_frames(response, 1)
    response.close()
    assert [frame["data"]["contacts"][0]["stage"] for frame in (first, second)] == ["generating", "ready_to_send"]
    assert int(second["id"]) > int(first["id"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_tenants_automation_is_404(
    alice: Producer, charlie: Producer, automation: dict[str, Any], method: str
) -> None:
    assert charlie.request(method, build_path(automation)).status_code == 404


def test_a_deleted_automation_is_404(alice: Producer, automation: dict[str, Any]) -> None:
    assert alice.request("DELETE", f"{alice.automations}/{automation['id']}").status_code == 200
    assert alice.get(build_path(automation)).status_code == 404


def test_a_viewer_may_watch(alice: Producer, client: FlaskClient, automation: dict[str, Any]) -> None:
    add_person(alice.workspace_id, "viewer")
    sign_in(client)
    response = client.get(build_path(automation))
    assert response.status_code == 200
    assert read_frames(response, 1)[0]["data"]["contacts"] == []
    response.close()


def test_a_stream_over_the_limit_is_503_with_retry_after(
    app: flask.Flask, alice: Producer, automation: dict[str, Any]
) -> None:
    feeds: Feeds = app.extensions["feeds"]
    app.extensions["feeds"] = Feeds(feeds._read, max_watchers=1)
    first = alice.get(build_path(automation))
    read_frames(first, 1)
    refused = alice.get(build_path(automation))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    first.close()
    assert alice.get(build_path(automation)).status_code == 200
    app.extensions["feeds"].close()
    app.extensions["feeds"] = feeds


def test_tests_can_be_excluded(alice: Producer, automation: dict[str, Any]) -> None:
    histories.insert_execution(alice.workspace_id, automation["id"], "generating", test=True)
    assert [contact["test"] for contact in fetch_snapshot(alice, automation)["contacts"]] == [True]
    assert fetch_snapshot(alice, automation, "?test=false")["contacts"] == []


def test_the_trend_of_queued_counts_the_executions_that_began(alice: Producer, automation: dict[str, Any]) -> None:
    target = (alice.workspace_id, automation["id"])
    histories.insert_execution(*target, "queued", ago=5)
    histories.insert_execution(*target, "completed", ago=60)
    histories.insert_execution(*target, "generating", ago=2 * 3600)
    trends = {stage["stage"]: stage["trend"] for stage in fetch_snapshot(alice, automation)["stages"]}
    assert sum(trends["queued"]) == 3
    assert (trends["queued"][-1], sum(trends["checking"])) == (2, 2)


def test_a_group_of_skips_claims_nothing_of_one_contact(alice: Producer, automation: dict[str, Any]) -> None:
    target = (alice.workspace_id, automation["id"])
    for zone in ("Asia/Tokyo", "Europe/Rome"):
        words = f"Outside the active hours 09:00 to 21:00 ({zone})"
        histories.insert_execution(
            *target, "skipped", skipped_rule="active_hours", skipped_detail=Json({"words": words})
        )
    histories.insert_execution(
        *target, "skipped", skipped_rule="daily_limit", skipped_detail=Json({"words": "Daily limit: 2 of 2 sent today"})
    )
    groups = {group["rule"]: group for group in fetch_snapshot(alice, automation)["skipped"]}
    assert groups["active_hours"]["words"] == (
        "Outside the active hours 09:00 to 21:00, in the time zone that applies to each contact"
    )
    assert groups["daily_limit"]["words"] == "Daily limit: 2 of 2 sent today"


@pytest.mark.parametrize(
    ("rule", "words", "text"),
    [
        ("tags", 'The contact lacks the tag "lead"', "The tags do not fit the rule"),
        (
            "frequency_cap",
            "Frequency cap: 3 of 2 messages in 7 days, 1 of them pending",
            "At most 2 messages in 7 days",
        ),
        ("cancelled", "Cancelled by Alice.", "Cancelled by an operator"),
        ("where", "The condition is not met: payload.n > 1", "The condition is not met: payload.n > 1"),
    ],
)
def test_the_text_of_one_skipped_contact_stays_and_that_of_several_is_shared(rule: str, words: str, text: str) -> None:
    assert describe_group(rule, words, 1) == words
    assert describe_group(rule, words, 2) == text


def test_the_moves_of_the_last_six_hours_are_listed(
    alice: Producer, charlie: Producer, automation: dict[str, Any]
) -> None:
    target = (alice.workspace_id, automation["id"])
    path = f"/api/ai-automations/{automation['id']}/monitor/moves"
    assert alice.get(path).json["moves"] == []
    histories.insert_execution(*target, "completed", ago=8 * 3600)
    histories.insert_execution(*target, "generating", ago=60, each=2)
    histories.insert_execution(*target, "checking", ago=30, test=True)
    moves = alice.get(path).json["moves"]
    # The starts, three moves to generating, and one to checking.
    assert len(moves) == 6
    assert moves == sorted(moves)
    assert (len(alice.get(f"{path}?test=true").json["moves"]), len(alice.get(f"{path}?test=false").json["moves"])) == (
        2,
        4,
    )
    # Each is a moment of the replay, at which the move has happened.
    snapshot = alice.post(f"/api/ai-automations/{automation['id']}/monitor?at={moves[1]}").json["snapshot"]
    assert {"checking"} < {contact["stage"] for contact in snapshot["contacts"]}
    assert charlie.get(path).status_code == 404
    assert alice.get("/api/ai-automations/nonsense/monitor/moves").status_code == 404
