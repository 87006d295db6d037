"""Analytics over HTTP: one set of filters for every answer, the compared period, and CSV."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import clock
from models.database import acting_as
from models.ids import new_id
from models.queries import execute
from tests.dashboard.example_executions import create_execution, create_failed
from tests.dashboard.producers import Producer

ANSWERS = {
    "summary": "", "timeline": "", "breakdown": "&dimension=status", "top": "", "actions": "", "messages": "",
    "experiments": "",
}  # fmt: skip


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def ago(**period: float) -> datetime:
    """A moment in the past."""
    return clock.now() - timedelta(**period)


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_names_its_period_and_compares(alice: Producer, answer: str) -> None:
    path = f"/api/analytics/{answer}?from=2026-11-10T00:00:00Z&to=2026-11-20T00:00:00Z{ANSWERS[answer]}"
    body = alice.get(f"{path}&compare=previous").json
    assert body["period"] == {"from": "2026-11-10T00:00:00Z", "to": "2026-11-20T00:00:00Z", "timeZone": "UTC"}
    assert body["compared"]["period"]["from"] == "2026-10-31T00:00:00Z"
    assert set(body["compared"]) == set(body) - {"success", "compared"}
    assert alice.get(path).json["compared"] is None
    named = alice.get(f"{path}&compareFrom=2026-10-01T00:00:00Z&compareTo=2026-10-02T00:00:00Z").json
    assert named["compared"]["period"]["to"] == "2026-10-02T00:00:00Z"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("from=2026-11-20T00:00:00Z&to=2026-11-20T00:00:00Z", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-11-20T00:00:00Z", "from"),
        ("compareFrom=2026-01-01T00:00:00Z", "compareFrom"),
        ("device=mobile&page=/pricing", "device"),
        ("status=happy", "status"),
        ("channel=pigeon", "channel"),
        ("kind=other", "kind"),
    ],
)
def test_a_wrong_filter_is_named(alice: Producer, query: str, path: str) -> None:
    response = alice.get(f"/api/analytics/timeline?{query}")
    assert response.status_code == 422
    assert [error["path"] for error in response.json["errors"]] == [path]


def test_a_day_has_its_outcomes_and_an_unknown_one_is_in_no_rate(alice: Producer, automation: dict[str, Any]) -> None:
    create_execution(alice, automation)
    create_failed(alice, automation)
    create_failed(alice, automation, error_class="unknown_outcome")
    (today,) = [point for point in alice.get("/api/analytics/timeline").json["timeline"] if point["executions"]]
    assert today["outcomes"] == {"succeeded": 1, "failed": 1, "unknown": 1}
    assert today["successRate"] == 0.5
    summary = alice.get("/api/analytics/summary").json["summary"]
    assert (summary["successRate"], summary["byStatus"]["unknown"]) == (0.5, 1)
    assert summary["byStage"] == [{"stage": "completed", "count": 1}, {"stage": "failed", "count": 2}]


def test_what_is_in_flight_is_counted_by_its_stage(alice: Producer, automation: dict[str, Any]) -> None:
    create_execution(alice, automation, status="pending", stage="queued")
    summary = alice.get("/api/analytics/summary").json["summary"]
    assert (summary["byStatus"], summary["byStage"]) == ({"active": 1}, [{"stage": "queued", "count": 1}])


def test_the_busiest_automation_is_compared_with_before(alice: Producer, automation: dict[str, Any]) -> None:
    for created_at in (ago(hours=2), ago(hours=3), ago(days=9)):
        create_execution(alice, automation, created_at=created_at)
    query = f"from={ago(days=7).isoformat()}&compare=previous".replace("+00:00", "Z")
    (row,) = alice.get(f"/api/analytics/top?{query}").json["automations"]
    assert (row["executions"], row["before"], row["change"]) == (2, 1, 1.0)


def test_another_workspace_has_numbers_of_its_own(
    alice: Producer, charlie: Producer, automation: dict[str, Any]
) -> None:
    create_execution(alice, automation)
    assert charlie.get(f"/api/analytics/summary?automationId={automation['id']}").json["summary"]["executions"] == 0
    assert charlie.get(f"/api/analytics/funnel?automationId={automation['id']}").status_code == 404
    assert alice.get(f"/api/analytics/funnel?automationId={new_id()}").status_code == 404


def test_a_funnel_follows_the_steps_of_the_published_version(alice: Producer, automation: dict[str, Any]) -> None:
    create_failed(alice, automation)
    create_execution(alice, automation, status="skipped", stage="skipped", skipped_rule="tags")
    funnel = alice.get(f"/api/analytics/funnel?automationId={automation['id']}").json["funnel"]
    assert (funnel["executions"], funnel["skippedByRules"], funnel["replied"]) == (2, 1, None)
    (step,) = [row for row in funnel["steps"] if row["entered"]]
    assert (step["stepId"], step["failed"], step["share"]) == ("hello", 1, 0.5)
    assert alice.get(f"/api/analytics/funnel?automationId={automation['id']}&device=mobile").json["funnel"] is None


def test_a_report_is_downloaded_without_formulas(alice: Producer, automation: dict[str, Any]) -> None:
    create_execution(alice, automation)
    with acting_as(alice.workspace_id):
        execute("update automations set name = '=1+1' where id = %s", (automation["id"],))
    response = alice.get("/api/analytics/export?report=top")
    assert response.mimetype == "text/csv"
    header, row = response.text.splitlines()
    assert header.startswith("id,name,type,executions,succeeded,failed")
    assert row.startswith(f"{automation['id']},'=1+1,workflow,1,1,0,")


@pytest.mark.parametrize("report", ["timeline", "device", "status", "actions", "messages", "experiments"])
def test_every_report_has_its_columns(alice: Producer, report: str) -> None:
    response = alice.get(f"/api/analytics/export?report={report}")
    assert response.status_code == 200
    assert "," in response.text.splitlines()[0]


def test_a_report_that_is_not_measured_is_refused(alice: Producer) -> None:
    assert alice.get("/api/analytics/export?report=messages&device=mobile").status_code == 422
    assert alice.get("/api/analytics/export?report=funnel").status_code == 422
