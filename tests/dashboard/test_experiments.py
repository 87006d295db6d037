"""An experiment is ended by one of its variants: over HTTP, and on its page, which asks first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

from dashboard.pages.analytics_experiments import build_experiments
from models.audit import SYSTEM
from models.automation import save_draft
from models.reports.analytics_experiments import Experiment, VariantRow
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

SOURCE = """\
# The welcome series
trigger: {type: contact.created}
steps:
  - id: fork        # since May
    action: split
    variants:
      - name: short
        weight: 1
        steps:
          - {id: brief, action: send_email, with: {subject: "Hi", body: "Hi"}}
      - name: "long-warm"
        weight: 3
        steps:
          # The kind one
          - {id: warm, action: send_email, with: {subject: 'Welcome', body: "A long text"}}  # as Bob wrote it
  # Everybody is noted.
  - {id: note, action: notify, with: {channel: slack, text: "New"}}
"""


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> FlaskClient:
    return sign_in_as(client, alice)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    response = alice.post(alice.automations, {"name": "Welcome", "source": SOURCE})
    assert response.status_code == 201, response.json
    created: dict[str, Any] = response.json["automation"]
    return created


def read(alice: Producer, automation: dict[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = alice.get(f"{alice.automations}/{automation['id']}").json["automation"]
    return detail


def end(alice: Producer, automation: dict[str, Any], **body: Any) -> Any:
    fields = {"step": "fork", "variant": "short", **body}
    return alice.post(f"{alice.automations}/{automation['id']}/end-experiment", fields)


def test_the_variant_replaces_the_split_and_executions_in_flight_stay(
    alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    response = end(alice, automation, variant="long-warm")
    assert response.status_code == 200, response.json
    assert (response.json["version"], response.json["published"], response.json["inFlight"]) == (2, True, 1)
    after = read(alice, automation)
    assert [step["id"] for step in after["definition"]["steps"]] == ["warm", "note"]
    assert (
        after["source"]
        == """\
# The welcome series
trigger: {type: contact.created}
steps:
  # The kind one
  - {id: warm, action: send_email, with: {subject: 'Welcome', body: "A long text"}}  # as Bob wrote it
  # Everybody is noted.
  - {id: note, action: notify, with: {channel: slack, text: "New"}}
"""
    )
    assert after["versions"][0]["note"] == "Experiment “fork” ended by variant “long-warm”"
    assert alice.get(f"/api/executions/{execution_id}").json["execution"]["version"] == 1
    entries = alice.get("/api/audit").json["entries"]
    (entry,) = [entry for entry in entries if entry["action"] == "automation.experiment_ended"]
    assert entry["detail"] == {"step": "fork", "variant": "long-warm", "version": 2}
    assert end(alice, automation).status_code == 404


def test_a_dry_run_answers_the_version_and_publishes_nothing(alice: Producer, automation: dict[str, Any]) -> None:
    response = end(alice, automation, dryRun=True)
    assert response.status_code == 200
    assert (response.json["version"], response.json["published"]) == (2, False)
    assert [step["id"] for step in response.json["definition"]["steps"]] == ["brief", "note"]
    assert read(alice, automation)["source"] == SOURCE


@pytest.mark.parametrize("fields", [{"step": "note"}, {"step": "brief"}, {"variant": "other"}, {"variant": "SHORT"}])
def test_an_unknown_experiment_or_variant_is_404(
    alice: Producer, automation: dict[str, Any], fields: dict[str, str]
) -> None:
    assert end(alice, automation, **fields).status_code == 404
    assert read(alice, automation)["version"] == 1


def test_an_older_version_or_a_draft_is_a_conflict(
    alice: Producer, automation: dict[str, Any], bob: FlaskClient
) -> None:
    alice.put(f"{alice.automations}/{automation['id']}", {"source": SOURCE + "# Later\n"})
    assert end(alice, automation, version=1).status_code == 409
    page = post(bob, f"/automations/{automation['id']}/experiment", step="fork", variant="short", version="1")
    assert page.status_code == 409
    assert "Version 2 was published in the meantime." in read_text(page.text)
    save_draft(alice.workspace_id, automation["id"], {"steps": []}, SYSTEM, base_version=2, seen_draft=None)
    assert end(alice, automation).status_code == 409
    assert "saved a draft" in read_text(bob.get(f"/automations/{automation['id']}/experiment?step=fork").text)
    assert read(alice, automation)["hasDraft"]
    assert read(alice, automation)["version"] == 2


def test_a_split_that_other_steps_use_stays(alice: Producer, bob: FlaskClient) -> None:
    source = SOURCE.replace('text: "New"', 'text: "New {{ steps.fork.taken }}"')
    automation = alice.post(alice.automations, {"name": "Noted", "source": source}).json["automation"]
    response = end(alice, automation)
    assert response.status_code == 422
    assert "fork" in str(response.json["errors"])
    page = post(bob, f"/automations/{automation['id']}/experiment", step="fork", variant="short", version="1")
    assert page.status_code == 422
    assert "Nothing was published" in read_text(page.text)
    assert read(alice, automation)["version"] == 1


def test_the_page_asks_first_and_publishes(alice: Producer, automation: dict[str, Any], bob: FlaskClient) -> None:
    example_executions.create_execution(alice, automation, status="pending", stage="queued")
    path = f"/automations/{automation['id']}/experiment"
    page = bob.get(f"{path}?step=fork&variant=long-warm").text
    assert "Version 2 is published" in read_text(page)
    assert "1 active execution stays on its version" in read_text(page)
    assert 'value="long-warm" required checked' in page
    assert read(alice, automation)["version"] == 1
    assert post(bob, path, step="fork", variant="long-warm", version="1").status_code == 303
    assert [step["id"] for step in read(alice, automation)["definition"]["steps"]] == ["warm", "note"]
    assert bob.get(f"{path}?step=fork").status_code == 404


def test_a_viewer_and_another_workspace_end_nothing(
    alice: Producer, charlie: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    path = f"/automations/{automation['id']}/experiment"
    assert viewer.get(f"{path}?step=fork").status_code == 403
    assert post(viewer, path, step="fork", variant="short", version="1").status_code == 403
    assert end(charlie, automation).status_code == 404
    assert read(alice, automation)["version"] == 1


def build_variant(name: str, **fields: Any) -> VariantRow:
    """A variant whose five messages on Instagram have no counted links."""
    return {
        "name": name, "weight": 1, "sent": 5, "delivered": None, "replied": 2, "clicked": None, "failed": 0,
        "answerable": 5, "rate": 0.4, "low": 0.12, "high": 0.77, **fields,
    }  # type: ignore[typeddict-item]  # fmt: skip


def build_experiment(**fields: Any) -> Experiment:
    return {
        "automation_id": "1", "automation_name": "Welcome", "step_id": "fork",
        "since": datetime(2026, 5, 4, tzinfo=UTC), "is_running": True, "is_proven": False, "leader": "b",
        "variants": [build_variant("a"), build_variant("b")],
        "runner_up": "a", "lead": 0.1, "more_messages": 900, "more_days": 12, **fields,
    }  # type: ignore[typeddict-item]  # fmt: skip


def test_what_a_channel_cannot_tell_is_not_measured_and_never_zero() -> None:
    notices = build_variant("b", replied=None, answerable=0, rate=None, low=None, high=None)
    mixed = build_variant("c", sent=8, delivered=3, clicked=0)
    (panel,) = build_experiments([build_experiment(variants=[build_variant("a"), notices, mixed])], ZoneInfo("UTC"))
    first, second, third = panel.variants
    assert (first.delivered, first.clicked, first.failed, first.replied) == ("not measured", "not measured", "0", "2")
    assert (second.replied, second.rate, second.interval) == ("not measured", "–", "no replies to measure")
    assert (third.delivered, third.clicked, third.rate) == ("3", "0", "40.0% of 5")


def test_a_running_experiment_says_what_is_missing_and_leads_to_its_end() -> None:
    (panel,) = build_experiments([build_experiment()], ZoneInfo("UTC"))
    assert panel.state == "Not enough yet"
    assert "about 900 more messages per variant: 12 days at this pace" in panel.sentence
    assert panel.end_page == "/automations/1/experiment?step=fork&variant=b"
    (ended,) = build_experiments([build_experiment(is_running=False)], ZoneInfo("UTC"))
    assert (ended.state, ended.end_page) == ("Ended", "")
    assert "more messages" not in ended.sentence
