"""Runs over HTTP: counts in the list, an automation's history, and its series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import clock
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.recorded_runs import record_runs


def fetch_automation(alice: Producer) -> dict[str, Any]:
    (automation,) = alice.get(alice.automations).json["automations"]
    return dict(automation)


def test_the_list_has_total_runs_and_runs_of_the_last_day(alice: Producer) -> None:
    automation, now = alice.create(), clock.now()
    record_runs(alice, automation["id"], now - timedelta(days=40), now - timedelta(hours=3), now - timedelta(minutes=1))
    listed = fetch_automation(alice)
    assert listed["totalRuns"] == listed["stats"]["totalRuns"] == 3
    assert listed["stats"]["last24Hours"] == 2
    assert datetime.fromisoformat(listed["lastRunAt"]) == now - timedelta(minutes=1)
    assert listed["lastRunAt"].endswith("Z")


def test_the_last_day_is_exact_to_the_moment(alice: Producer) -> None:
    """The last 24 hours are exact, although the counters are hourly."""
    automation, now = alice.create(), clock.now()
    day = timedelta(hours=24)
    young = [now - day + timedelta(seconds=30), now - timedelta(hours=23), now - timedelta(hours=22, minutes=59)]
    old = [now - day - timedelta(seconds=1), now - day - timedelta(minutes=59), now - timedelta(hours=25)]
    record_runs(alice, automation["id"], *young, *old)
    assert fetch_automation(alice)["stats"] == {"totalRuns": 6, "last24Hours": 3}


def test_with_the_switch_off_the_list_has_no_stats(alice: Producer) -> None:
    automation = alice.create()
    record_runs(alice, automation["id"], clock.now())
    assert alice.request("PUT", "/api/settings/switches", json={"statsInApi": False}).status_code == 200
    listed = fetch_automation(alice)
    assert "stats" not in listed
    assert (listed["name"], listed["totalRuns"]) == ("Welcome", 1)
    assert "stats" not in alice.get(f"{alice.automations}/{automation['id']}").json["automation"]
    alice.request("PUT", "/api/settings/switches", json={"statsInApi": True})
    assert fetch_automation(alice)["stats"] == {"totalRuns": 1, "last24Hours": 1}


def test_the_history_is_paged_newest_first_and_filtered(alice: Producer) -> None:
    automation, now = alice.create(), clock.now()
    ada = example_executions.create_contact(alice, "Ada")
    # Three runs of the same time: paging must not lose one.
    moments = [now - timedelta(minutes=5)] * 3 + [now - timedelta(days=3), now - timedelta(days=80)]
    record_runs(alice, automation["id"], *moments, contact_id=ada)
    record_runs(alice, automation["id"], now - timedelta(days=1), kind="comment_reply")
    path = f"/api/automations/{automation['id']}/runs"

    runs, cursor = [], ""
    while cursor is not None:
        page = alice.get(f"{path}?limit=2{'&cursor=' + cursor if cursor else ''}").json
        runs += page["runs"]
        cursor = page["nextCursor"]
    assert len({run["id"] for run in runs}) == len(runs) == 6
    assert [run["at"] for run in runs] == sorted((run["at"] for run in runs), reverse=True)
    assert (runs[0]["contactId"], runs[0]["contactName"], runs[0]["kind"]) == (ada, "Ada", "main_dm")
    assert [run["kind"] for run in alice.get(f"{path}?kind=comment_reply").json["runs"]] == ["comment_reply"]
    since = (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(alice.get(f"{path}?from={since}").json["runs"]) == 4
    assert len(alice.get(f"{path}?to={since}").json["runs"]) == 2


def test_a_series_has_every_hour_or_day_and_the_kinds_in_it(alice: Producer) -> None:
    automation = alice.create()
    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    record_runs(alice, automation["id"], today, today - timedelta(seconds=1), today - timedelta(days=2))
    record_runs(alice, automation["id"], today - timedelta(hours=5), kind="opening_dm")
    path = f"/api/automations/{automation['id']}/runs/series"

    days = alice.get(f"{path}?by=day").json["series"]
    assert [bucket["count"] for bucket in days[-4:]] == [0, 1, 2, 1]
    assert (len(days), days[-2]["kinds"]) == (30, {"main_dm": 1, "opening_dm": 1})
    assert days[-1]["at"] == today.strftime("%Y-%m-%dT%H:%M:%SZ")

    ends = (today + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    hours = alice.get(f"{path}?by=hour&to={ends}").json["series"]
    assert (hours[-1]["count"], hours[-2]["count"], hours[-6]["count"]) == (1, 1, 1)
    assert sum(bucket["count"] for bucket in alice.get(f"{path}?by=day&kind=opening_dm").json["series"]) == 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("by=week", "by"),
        ("kind=fax", "kind"),
        ("from=yesterday", "from"),
        ("by=hour&from=2020-01-01T00:00:00Z", "from"),
    ],
)
def test_an_invalid_series_is_rejected_by_field(alice: Producer, query: str, path: str) -> None:
    response = alice.get(f"/api/automations/{alice.create()['id']}/runs/series?{query}")
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, path)


def test_a_foreign_cursor_is_rejected(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/runs"
    for cursor in ("x", "MjAyNi0xMS0yMA", "//////"):
        response = alice.get(f"{path}?cursor={cursor}")
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "cursor")


def test_charlie_sees_none_of_alices_runs(alice: Producer, charlie: Producer) -> None:
    automation = alice.create()
    record_runs(alice, automation["id"], clock.now())
    for path in (f"/api/automations/{automation['id']}/runs", f"/api/automations/{automation['id']}/runs/series"):
        assert charlie.get(path).status_code == 404
