"""Test runs over HTTP and on pages: started once at a time, followed step by step, cancelled, shown to nobody else."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from models import test_run
from models.audit import AuditActor
from models.database import acting_as
from rules.test_workflows import STEP_NAMES, WELCOME, build_contacts
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, sign_in_as

ALICE = AuditActor("user", None, "Alice")


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> FlaskClient:
    """Bob's browser; he is an operator in Alice's workspace."""
    return sign_in_as(client, alice)


def begin(alice: Producer, **step: Any) -> str:
    """A run whose first step has these fields, as a worker stores it."""
    run_id = test_run.create(alice.workspace_id, ALICE)
    steps: list[Any] = [{"name": name, "status": "upcoming", "detail": "", "duration_ms": None} for name in STEP_NAMES]
    steps[0].update(step)
    assert test_run.claim(alice.workspace_id, run_id, steps)
    return run_id


def test_a_started_run_is_accepted_and_shows_its_steps(alice: Producer, charlie: Producer) -> None:
    response = alice.post("/api/test-runs")
    assert response.status_code == 202
    run = response.json["testRun"]
    assert (run["status"], run["cleanedUp"]) == ("running", False)
    assert [step["name"] for step in run["steps"]] == list(STEP_NAMES)
    assert run["steps"][0] == {"name": STEP_NAMES[0], "status": "upcoming", "detail": "", "durationMs": None}
    assert alice.get(f"/api/test-runs/{run['id']}").json["testRun"] == run
    assert charlie.get(f"/api/test-runs/{run['id']}").status_code == 404
    assert alice.get("/api/test-runs/nonsense").status_code == 404


def test_a_workspace_has_one_run_at_a_time(alice: Producer, charlie: Producer) -> None:
    run_id = alice.post("/api/test-runs").json["testRun"]["id"]
    response = alice.post("/api/test-runs")
    assert response.status_code == 409
    assert run_id in response.json["detail"]
    assert charlie.post("/api/test-runs").status_code == 202


def test_without_a_sandbox_a_run_is_409(alice: Producer, app: flask.Flask) -> None:
    app.extensions["settings"] = app.extensions["settings"].replace(sandbox="off")
    response = alice.post("/api/test-runs")
    assert (response.status_code, "BECKON_SANDBOX is off" in response.json["detail"]) == (409, True)


def test_the_automations_of_a_run_are_in_no_list_and_no_count(alice: Producer, bob: FlaskClient) -> None:
    run_id = begin(alice)
    automation_id = test_run.create_automation(alice.workspace_id, run_id, "Test run: welcome", WELCOME.definition)
    assert alice.get(alice.automations).json["automations"] == []
    assert alice.get(f"{alice.automations}/{automation_id}").status_code == 404
    assert alice.get("/api/health").json["database"]["activeAutomations"] == 0
    for path in ("/automations", "/executions", "/health", "/"):
        assert "Test run: welcome" not in bob.get(path, follow_redirects=True).text
    # No real trigger starts one.
    trigger = {"type": "beckon.test_run", "payload": {"amount": 200}, "contact": {"email": "x@example.com"}}
    assert alice.post("/api/triggers", trigger).json["executions"] == []
    assert alice.post("/api/triggers", {**trigger, "automationId": automation_id}).json["executions"] == []


def test_the_removal_deletes_what_the_run_created_and_nothing_else(alice: Producer) -> None:
    kept = alice.create()
    contact = alice.post("/api/contacts", {"email": "ada@example.com"}).json["contact"]
    run_id = begin(alice)
    test_run.create_automation(alice.workspace_id, run_id, "Test run", WELCOME.definition)
    names = [person["external_id"] for person in build_contacts(run_id)]
    with acting_as(alice.workspace_id):
        assert test_run.remove_data(alice.workspace_id, run_id, names) == 0
        assert test_run.remove_data(alice.workspace_id, run_id, names) == 0
    assert [row["id"] for row in alice.get(alice.automations).json["automations"]] == [kept["id"]]
    assert [row["id"] for row in alice.get("/api/contacts").json["contacts"]] == [contact["id"]]


def test_the_panel_follows_a_run_and_can_cancel_it(bob: FlaskClient, alice: Producer) -> None:
    assert "Run test" in bob.get("/health").text
    run_id = begin(alice, status="running", detail="1 of 3")
    page = bob.get(f"/test-runs/{run_id}").text
    assert "0 of 13" in page
    assert "1 of 3" in page
    assert "upcoming" in page
    assert f'hx-get="/test-runs/{run_id}"' in bob.get("/health").text
    fragment = bob.get(f"/test-runs/{run_id}", headers={"HX-Request": "true"}).text
    assert fragment.lstrip().startswith('<section class="panel test-runner"')

    response = post(bob, f"/test-runs/{run_id}/cancel")
    assert (response.status_code, response.headers["Location"]) == (303, f"/test-runs/{run_id}")
    assert test_run.save(alice.workspace_id, run_id, []) is True
    assert "Cancelling" in bob.get(f"/test-runs/{run_id}").text


def test_an_ended_run_shows_its_result_and_is_not_changed_again(bob: FlaskClient, alice: Producer) -> None:
    run_id = begin(alice)
    assert test_run.finish(alice.workspace_id, run_id, "failed", [], True)
    assert not test_run.finish(alice.workspace_id, run_id, "passed", [], True)
    assert test_run.save(alice.workspace_id, run_id, []) is None
    page = bob.get(f"/test-runs/{run_id}").text
    assert "Failed" in page
    assert "started by Alice" in page
    assert "Run test" in page
    post(bob, f"/test-runs/{run_id}/cancel")
    assert "This test run has ended." in bob.get(f"/test-runs/{run_id}").text


def test_a_page_starts_a_run_and_opens_the_one_that_runs(bob: FlaskClient) -> None:
    first = post(bob, "/test-runs")
    assert first.headers["Location"].startswith("/test-runs/")
    assert post(bob, "/test-runs").headers["Location"] == first.headers["Location"]
    assert post(bob, "/test-runs", next="/health").headers["Location"] == "/health"


def test_without_a_sandbox_the_page_says_why_no_run_starts(bob: FlaskClient, app: flask.Flask) -> None:
    app.extensions["settings"] = app.extensions["settings"].replace(sandbox="off")
    assert post(bob, "/test-runs").headers["Location"] == "/health"
    assert "BECKON_SANDBOX is off" in bob.get("/health").text
