"""Runs over HTTP: the numbers of the list, an automation's history, and its series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import clock
from tests.dashboard import stories
from tests.dashboard.cast import Producer
from tests.dashboard.ran import ran


def listed(alice: Producer) -> dict[str, Any]:
    (one,) = alice.get(alice.automations).json["automations"]
    return dict(one)


def test_the_list_says_how_many_runs_there_were_in_all_and_in_the_last_day(alice: Producer) -> None:
    made, now = alice.create(), clock.now()
    ran(alice, made["id"], now - timedelta(days=40), now - timedelta(hours=3), now - timedelta(minutes=1))
    one = listed(alice)
    assert one["totalRuns"] == one["stats"]["totalRuns"] == 3
    assert one["stats"]["last24Hours"] == 2
    assert datetime.fromisoformat(one["lastRunAt"]) == now - timedelta(minutes=1)
    assert one["lastRunAt"].endswith("Z")


def test_the_last_day_is_exact_to_the_moment(alice: Producer) -> None:
    """Not to the hour of the clock, which is how the counters are kept."""
    made, now = alice.create(), clock.now()
    day = timedelta(hours=24)
    young = [now - day + timedelta(seconds=30), now - timedelta(hours=23), now - timedelta(hours=22, minutes=59)]
    old = [now - day - timedelta(seconds=1), now - day - timedelta(minutes=59), now - timedelta(hours=25)]
    ran(alice, made["id"], *young, *old)
    assert listed(alice)["stats"] == {"totalRuns": 6, "last24Hours": 3}


def test_with_the_switch_off_the_list_leaves_stats_out_and_says_the_rest(alice: Producer) -> None:
    made = alice.create()
    ran(alice, made["id"], clock.now())
    assert alice.ask("PUT", "/api/settings/switches", json={"statsInApi": False}).status_code == 200
    one = listed(alice)
    assert "stats" not in one
    assert (one["name"], one["totalRuns"]) == ("Welcome", 1)
    assert "stats" not in alice.get(f"{alice.automations}/{made['id']}").json["automation"]
    alice.ask("PUT", "/api/settings/switches", json={"statsInApi": True})
    assert listed(alice)["stats"] == {"totalRuns": 1, "last24Hours": 1}


def test_the_history_is_paged_newest_first_and_filtered(alice: Producer) -> None:
    made, now = alice.create(), clock.now()
    ada = stories.contact(alice, "Ada")
    # Three of the very same moment: the page must not lose one of them.
    moments = [now - timedelta(minutes=5)] * 3 + [now - timedelta(days=3), now - timedelta(days=80)]
    ran(alice, made["id"], *moments, contact_id=ada)
    ran(alice, made["id"], now - timedelta(days=1), kind="comment_reply")
    path = f"/api/automations/{made['id']}/runs"

    seen, cursor = [], ""
    while cursor is not None:
        answer = alice.get(f"{path}?limit=2{'&cursor=' + cursor if cursor else ''}").json
        seen += answer["runs"]
        cursor = answer["nextCursor"]
    assert len({one["id"] for one in seen}) == len(seen) == 6
    assert [one["at"] for one in seen] == sorted((one["at"] for one in seen), reverse=True)
    assert (seen[0]["contactId"], seen[0]["contactName"], seen[0]["kind"]) == (ada, "Ada", "main_dm")
    assert [one["kind"] for one in alice.get(f"{path}?kind=comment_reply").json["runs"]] == ["comment_reply"]
    since = (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(alice.get(f"{path}?from={since}").json["runs"]) == 4
    assert len(alice.get(f"{path}?to={since}").json["runs"]) == 2


def test_a_series_has_every_hour_or_day_and_the_kinds_in_it(alice: Producer) -> None:
    made = alice.create()
    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ran(alice, made["id"], today, today - timedelta(seconds=1), today - timedelta(days=2))
    ran(alice, made["id"], today - timedelta(hours=5), kind="opening_dm")
    path = f"/api/automations/{made['id']}/runs/series"

    days = alice.get(f"{path}?by=day").json["series"]
    assert [one["count"] for one in days[-4:]] == [0, 1, 2, 1]
    assert (len(days), days[-2]["kinds"]) == (30, {"main_dm": 1, "opening_dm": 1})
    assert days[-1]["at"] == today.strftime("%Y-%m-%dT%H:%M:%SZ")

    ends = (today + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    hours = alice.get(f"{path}?by=hour&to={ends}").json["series"]
    assert (hours[-1]["count"], hours[-2]["count"], hours[-6]["count"]) == (1, 1, 1)
    assert sum(one["count"] for one in alice.get(f"{path}?by=day&kind=opening_dm").json["series"]) == 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("by=week", "by"),
        ("kind=fax", "kind"),
        ("from=yesterday", "from"),
        ("by=hour&from=2020-01-01T00:00:00Z", "from"),
    ],
)
def test_a_series_that_cannot_be_made_is_refused_with_the_field(alice: Producer, query: str, path: str) -> None:
    answer = alice.get(f"/api/automations/{alice.create()['id']}/runs/series?{query}")
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, path)


def test_a_foreign_cursor_is_refused(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/runs"
    for cursor in ("x", "MjAyNi0xMS0yMA", "//////"):
        answer = alice.get(f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "cursor")


def test_charlie_sees_no_run_of_alices(alice: Producer, charlie: Producer) -> None:
    made = alice.create()
    ran(alice, made["id"], clock.now())
    for path in (f"/api/automations/{made['id']}/runs", f"/api/automations/{made['id']}/runs/series"):
        assert charlie.get(path).status_code == 404
