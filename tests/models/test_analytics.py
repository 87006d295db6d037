"""Analytics answers what plain SQL over the rows answers: over random histories, time zones, retries and two
workspaces, whether or not the scheduler has added the changes to the tallies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import clock
from models.checks import analytics_tallies
from models.database import acting_as, transaction
from models.queries import execute, fetch, fetch_value
from models.reports import analytics_reader
from models.reports.analytics_causes import list_failure_causes
from models.reports.analytics_executions import BreakdownRow, fetch_breakdown, fetch_timeline, fetch_top, fetch_totals
from models.reports.analytics_experiments import fetch_experiments
from models.reports.analytics_filters import AnalyticsFilters, NotCountedTogether
from models.reports.analytics_messages import fetch_messages
from models.reports.analytics_steps import fetch_actions, fetch_funnel
from rules.tallies import OUTCOMES
from tests.support.analytics_history import History
from tests.support.rows import fetch_rows

#: Across both days on which Europe and America change the clocks.
SINCE, UNTIL = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)
ZONES = ("UTC", "Europe/Rome", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham")
STATUS = """case when finished_at is null then 'active'
    when status = 'failed' and error_class = 'unknown_outcome' then 'unknown' else status end"""


@pytest.fixture
def history(alices: str, charlies: str) -> Iterator[History]:
    """Alice's executions of three automations, one of which is deleted; Charlie has executions too."""
    mine, others = History(alices, SINCE, UNTIL, seed=1), History(charlies, SINCE, UNTIL, seed=2)
    with transaction():
        for owner in (mine, others):
            automations = [owner.add_automation(name) for name in ("Welcome", "Price", "Old")]
            owner.fill(automations, [owner.add_contact() for _ in range(5)], 80)
            execute("update automations set deleted_at = created_at where id = %s", (automations[2],))
    return mine


@pytest.fixture(params=["both", *(pytest.param(state, marks=pytest.mark.slow) for state in ("appended", "added"))])
def state(request: pytest.FixtureRequest, history: History) -> str:
    """How much of the changes the scheduler has added to the tallies: a part, so that both are read, none, or all."""
    if request.param == "both":
        with transaction():
            fetch_value("select add_analytics_changes(300)")
    elif request.param == "added":
        analytics_tallies.run_once()
    return str(request.param)


def build_filters(zone: str = "UTC", **fields: Any) -> AnalyticsFilters:
    """The period of the history, from midnight to midnight of a zone."""
    whole = AnalyticsFilters(SINCE, UNTIL, zone, **fields)
    return replace(whole, since=whole.list_edges("day")[0])


def count_outcomes(history: History, condition: str = "true", **values: Any) -> dict[str, int]:
    """Alice's executions by outcome, by plain SQL."""
    rows = fetch_rows(
        f"select {STATUS} as outcome, count(*) as count from executions where workspace_id = %(workspace)s "
        f"and not test and {condition} group by 1",
        {"workspace": history.workspace_id, "since": SINCE, "until": UNTIL, **values},
    )
    return {row["outcome"]: row["count"] for row in rows}


def test_totals_are_those_of_the_rows(history, state):
    totals = fetch_totals(history.workspace_id, build_filters())
    expected = count_outcomes(history)
    assert totals["outcomes"] == expected
    assert set(expected) <= set(OUTCOMES)
    ended = expected["succeeded"] + expected["failed"]
    assert totals["success_rate"] == round(expected["succeeded"] / ended, 4)


@pytest.mark.parametrize("zone", ZONES)
def test_days_are_those_of_the_zone(history, zone):
    execute("update workspaces set timezone = %s where id = %s", (zone, history.workspace_id))
    analytics_tallies.run_once()
    filters = build_filters(zone)
    for point in fetch_timeline(history.workspace_id, filters, "day"):
        day = (
            "(created_at at time zone %(zone)s)::date = (%(at)s at time zone %(zone)s)::date and created_at < %(until)s"
        )
        assert point["outcomes"] == count_outcomes(history, day, zone=zone, at=point["at"]), point["at"]


def test_hours_are_those_of_the_rows(history, state):
    points = fetch_timeline(history.workspace_id, build_filters("Europe/Rome"), "hour")
    assert sum(point["executions"] for point in points) == sum(count_outcomes(history).values())
    for point in (point for point in points if point["executions"]):
        hour = "created_at >= %(at)s and created_at < %(at)s + interval '1 hour'"
        assert point["outcomes"] == count_outcomes(history, hour, at=point["at"])


def test_percentiles_are_within_five_percent_of_the_work_of_the_steps(history, state):
    totals = fetch_totals(history.workspace_id, build_filters())
    exact = fetch_rows(
        """select percentile_disc(0.5) within group (order by ms) as p50,
            percentile_disc(0.95) within group (order by ms) as p95
        from (
            select coalesce((
                select sum(execution_time_ms) from steps s where s.execution_id = e.id and s.action <> 'wait'
            ), e.execution_time_ms)::bigint as ms
            from executions e where workspace_id = %s and not test and status = 'succeeded') timed""",
        (history.workspace_id,),
    )[0]
    assert totals["p50_ms"] == pytest.approx(exact["p50"], rel=0.05)
    assert totals["p95_ms"] == pytest.approx(exact["p95"], rel=0.05)


def test_a_breakdown_and_its_filter_agree_with_the_rows(history, state):
    rows = fetch_breakdown(history.workspace_id, build_filters(), "trigger")
    assert rows is not None
    assert [row["value"] for row in rows if row["value"]]
    for row in rows:
        of_type = "trigger_id in (select id from triggers where type = %(type)s)"
        assert row["outcomes"] == count_outcomes(history, of_type, type=row["value"])
        assert fetch_totals(history.workspace_id, build_filters(trigger=row["value"]))["outcomes"] == row["outcomes"]


def test_the_busiest_automations_include_deleted_ones_and_compare(history, state):
    half = SINCE + (UNTIL - SINCE) / 2
    filters = replace(build_filters(), since=half)
    before = filters.build_previous()
    assert (before.since, before.until) == (SINCE, half)
    rows = fetch_top(history.workspace_id, filters, before)
    assert {row["name"] for row in rows} == {"Welcome", "Price", "Old"}
    for row in rows:
        of_automation = "automation_id = %(automation)s and created_at"
        assert row["outcomes"] == count_outcomes(
            history, f"{of_automation} >= %(half)s", automation=row["id"], half=half
        )
        earlier = count_outcomes(history, f"{of_automation} < %(half)s", automation=row["id"], half=half)
        assert row["before"] == sum(earlier.values())


def test_a_status_selects_its_executions(history, state):
    expected = count_outcomes(history)
    for status, count in expected.items():
        totals = fetch_totals(history.workspace_id, build_filters(status=status))
        assert totals["outcomes"] == {status: count}


@pytest.mark.parametrize("quiet", [0, 1, 4])
def test_a_channel_selects_the_automations_that_sent_on_it(history, state, quiet):
    contact = history.add_contact()
    for _ in range(quiet):
        history.add_execution(history.add_automation("Quiet"), contact, SINCE + timedelta(days=1), test=True)
        automation_id = history.add_automation("Tracked")
        history.add_tracked(automation_id)
    senders = (
        "automation_id in (select automation_id from messages where channel = 'sms' and not test "
        "and sent_at < %(until)s and workspace_id = %(workspace)s)"
    )
    filters = build_filters(channel="sms")
    expected = count_outcomes(history, senders)
    assert fetch_totals(history.workspace_id, filters)["outcomes"] == expected
    points = fetch_timeline(history.workspace_id, filters, "day")
    assert sum(point["executions"] for point in points) == sum(expected.values())
    assert sum(row["executions"] for row in fetch_top(history.workspace_id, filters)) == sum(expected.values())
    by_trigger = count_values(fetch_breakdown(history.workspace_id, filters, "trigger"))
    assert sum(by_trigger.values()) == sum(expected.values())


def test_actions_are_those_of_the_steps(history, state):
    rows = fetch_actions(history.workspace_id, build_filters(), limit=50)
    assert rows
    assert not [row for row in rows if row["action"] == "wait"]
    for row in rows:
        expected = fetch_rows(
            """select count(*) filter (where s.status in ('succeeded', 'failed')) as runs,
                count(*) filter (where s.status = 'failed') as failed
            from steps s join executions e on e.id = s.execution_id
            where e.automation_id = %s and s.action = %s and not e.test""",
            (row["automation_id"], row["action"]),
        )[0]
        assert (row["runs"], row["failed"]) == (expected["runs"], expected["failed"])


def test_the_funnel_is_that_of_the_steps(history, state):
    automation_id = fetch_value(
        "select id from automations where name = 'Price' and workspace_id = %s", (history.workspace_id,)
    )
    funnel = fetch_funnel(history.workspace_id, automation_id, build_filters())
    assert funnel is not None
    assert funnel["steps"]
    outcomes = count_outcomes(history, "automation_id = %(automation)s", automation=automation_id)
    assert (funnel["executions"], funnel["skipped_by_rules"]) == (sum(outcomes.values()), outcomes.get("skipped", 0))
    for step in funnel["steps"]:
        rows = fetch_rows(
            """select s.status, count(*) as count from steps s join executions e on e.id = s.execution_id
            where e.automation_id = %s and s.step_id = %s and not e.test group by 1""",
            (automation_id, step["step_id"]),
        )
        counts = {row["status"]: row["count"] for row in rows}
        assert step["entered"] == sum(counts.values())
        assert [step[name] for name in ("succeeded", "failed", "skipped")] == [
            counts.get(name, 0) for name in ("succeeded", "failed", "skipped")
        ]


def test_messages_are_those_of_the_rows_and_unmeasured_ones_are_none(history, state):
    rows = fetch_messages(history.workspace_id, build_filters())
    assert rows is not None
    assert {row["channel"] for row in rows} == {"email", "sms", "instagram"}
    for row in rows:
        expected = fetch_rows(
            """select count(*) as sent,
                count(*) filter (where status in ('delivered', 'read', 'complained')) as delivered,
                count(*) filter (where status = 'read') as opened,
                (select count(*) from message_responses r join messages m on m.id = r.message_id
                    where m.channel = %(channel)s and r.workspace_id = %(workspace)s and not m.test
                        and r.kind = 'replied' and m.sent_at < %(until)s) as replied
            from messages where workspace_id = %(workspace)s and channel = %(channel)s and not test
                and sent_at < %(until)s""",
            {"workspace": history.workspace_id, "channel": row["channel"], "until": UNTIL},
        )[0]
        assert (row["sent"], row["replied"]) == (expected["sent"], expected["replied"])
        assert row["delivered"] == (None if row["channel"] == "instagram" else expected["delivered"])
        assert row["opened"] == (None if row["channel"] == "sms" else expected["opened"])
        assert row["clicked"] is None


def test_counting_anew_gives_the_same_counts(history):
    everything = (
        "select subject, dimension, automation_id, at, value, status, bucket, sum(count) from analytics_changes "
        "group by 1, 2, 3, 4, 5, 6, 7 having sum(count) <> 0 order by 1, 2, 3, 4, 5, 6, 7"
    )
    appended = fetch_rows(everything)
    with transaction():
        execute("select recount_analytics()")
    assert fetch_rows(everything) == appended
    assert {row["dimension"] for row in appended} >= {"trigger", "error", "step", "action", "channel", "variant"}


def test_an_experiment_has_the_messages_after_its_split(history, state):
    automation_id = fetch_value("select id from automations where name = 'Price' and workspace_id = %s",
        (history.workspace_id,))  # fmt: skip
    history.publish_split(automation_id)
    filters = build_filters(automation_id=automation_id)
    experiments = fetch_experiments(history.workspace_id, filters, UNTIL)
    assert experiments is not None
    (experiment,) = experiments
    assert [variant["name"] for variant in experiment["variants"]] == ["A", "B"]
    for variant in experiment["variants"]:
        expected = fetch_rows(
            """select count(distinct m.id) filter (where m.sent_at is not null) as sent,
                count(distinct r.message_id) as replied,
                count(distinct m.id) filter (where m.status in ('delivered', 'read', 'complained')
                    and m.channel <> 'instagram') as delivered,
                count(distinct m.id) filter (where m.status in ('failed', 'bounced')) as failed
            from messages m join steps s on s.execution_id = m.execution_id and s.step_id = 'choose'
                and s.output ->> 'taken' = %s
            left join message_responses r on r.message_id = m.id and r.kind = 'replied'
            where m.automation_id = %s and not m.test and coalesce(m.sent_at, m.created_at) < %s""",
            (variant["name"], automation_id, UNTIL),
        )[0]
        assert {name: variant[name] for name in expected} == expected
        assert variant["failed"] > 0
        assert variant["clicked"] is None
        assert variant["low"] <= variant["rate"] < variant["high"]
    assert fetch_experiments(history.workspace_id, build_filters(status="failed"), UNTIL) is None


def test_the_reason_with_the_most_failures_of_a_day_is_a_cause(history, state):
    causes = list_failure_causes(history.workspace_id, build_filters(), "day")
    for cause in causes:
        count = count_outcomes(
            history,
            "created_at::date = %(at)s::date and status = 'failed' and error_class = %(class)s",
            at=cause["at"], **{"class": cause["error_class"]},
        )  # fmt: skip
        assert count == {"failed": cause["count"]}
    assert causes == sorted(causes, key=lambda cause: -cause["count"])


def test_no_answer_reads_executions_steps_or_messages(history, state, monkeypatch):
    plans: list[str] = []

    def explain(row_type: Any, statement: str, parameters: Any) -> Any:
        plans.extend(row["QUERY PLAN"] for row in fetch_rows(f"explain {statement}", parameters))
        return fetch(row_type, statement, parameters)

    monkeypatch.setattr(analytics_reader, "fetch", explain)
    workspace_id, filters = history.workspace_id, build_filters("Europe/Rome", kind="automations")
    fetch_totals(workspace_id, filters)
    fetch_timeline(workspace_id, filters, "hour")
    fetch_top(workspace_id, filters, filters.build_previous())
    fetch_breakdown(workspace_id, filters, "page")
    fetch_actions(workspace_id, filters)
    fetch_messages(workspace_id, replace(filters, channel="email"))
    tables = {word for line in plans for word in line.split() if word in ("executions", "steps", "messages")}
    assert tables == set()
    assert any("analytics_tallies" in line for line in plans)


def test_a_compared_period_keeps_local_midnights_across_a_change_of_the_clocks():
    rome = ZoneInfo("Europe/Rome")
    filters = AnalyticsFilters(
        datetime(2026, 10, 25, tzinfo=rome), datetime(2026, 11, 1, tzinfo=rome), "Europe/Rome", device="mobile"
    )
    before = filters.build_previous()
    assert before.since == datetime(2026, 10, 18, tzinfo=rome)
    assert (before.until, before.device) == (filters.since, "mobile")
    assert len(filters.list_edges("day")) == 7
    assert len(filters.list_edges("hour")) == 7 * 24 + 1


def test_the_dashboard_reads_only_its_workspace(history, as_dashboard, charlies):
    with acting_as(charlies):
        assert (
            fetch_value("select count(*) from analytics_changes where workspace_id = %s", (history.workspace_id,)) == 0
        )
    assert fetch_totals(history.workspace_id, build_filters())["executions"] > 0


def test_tracked_executions_count_by_device_page_and_trigger(alices, as_service):
    history = History(alices, SINCE, UNTIL)
    playbook = history.add_automation("Offer", "playbook")
    for status, device in (("success", "mobile"), ("success", "mobile"), ("timeout", None)):
        history.add_tracked(playbook, status=status, device_type=device, page_path="/order/12345")
    filters = build_filters(kind="playbooks")
    totals = fetch_totals(alices, filters)
    assert (totals["executions"], totals["outcomes"]) == (3, {"succeeded": 2, "timed_out": 1})
    assert totals["success_rate"] == 0.6667
    assert totals["p50_ms"] == pytest.approx(250, rel=0.05)
    assert count_values(fetch_breakdown(alices, filters, "device")) == {"mobile": 2, None: 1}
    assert count_values(fetch_breakdown(alices, filters, "page")) == {"/order/:id": 3}
    assert count_values(fetch_breakdown(alices, filters, "trigger")) == {"Scroll Depth": 3}
    actions = fetch_actions(alices, filters, "failing")
    assert actions is not None
    assert [(row["action"], row["runs"], row["failed_share"]) for row in actions] == [
        ("Show", 3, 1.0), ("Replace Text", 3, 0.0),
    ]  # fmt: skip
    assert fetch_totals(alices, build_filters(kind="automations"))["executions"] == 0


def count_values(rows: list[BreakdownRow] | None) -> dict[str | None, int]:
    """The executions of a breakdown, by value."""
    assert rows is not None
    return {row["value"]: row["executions"] for row in rows}


@pytest.mark.parametrize(
    ("path", "counted"),
    [
        ("/", "/"),
        ("/pricing/2026/plans", "/pricing/:id/plans"),
        ("/a/0b54dea3-9f3f-4c0e-a0ae-3a3e5f9f2e77", "/a/:id"),
        ("/product/summer-rug-2", "/product/summer-rug-2"),
        ("/t/abcdefghij1234567890xyz", "/t/:id"),
    ],
)
def test_a_page_is_counted_without_ids(path, counted, as_service):
    with transaction():
        assert fetch_value("select tally_page(%s)", (path,)) == counted


def test_pages_beyond_the_hundredth_of_a_day_count_as_other(alices, as_service):
    history = History(alices, SINCE, UNTIL)
    playbook = history.add_automation("Offer", "playbook")
    with transaction():
        for number in [*range(150), *range(140, 150)]:
            history.add_tracked(playbook, page_path=f"/page-{number}")
    analytics_tallies.run_once()
    by_page = count_values(fetch_breakdown(alices, build_filters(), "page", limit=200))
    assert sum(by_page.values()) == 160
    assert len(by_page) == 101
    assert (by_page["other"], by_page["/page-149"]) == (50, 2)


def test_two_of_device_page_and_trigger_are_not_counted_together(alices):
    with pytest.raises(NotCountedTogether, match="device and page"):
        fetch_totals(alices, build_filters(device="mobile", page="/"))
    assert fetch_breakdown(alices, build_filters(device="mobile"), "page") is None
    assert fetch_messages(alices, build_filters(device="mobile")) is None


def test_a_reply_belongs_to_the_newest_message_within_seven_days(alices, as_service):
    history = History(alices, SINCE, UNTIL)
    automation, contact = history.add_automation(), history.add_contact()
    history.random.random = lambda: 0.9  # type: ignore[method-assign]
    history.random.choice = lambda values: values[0]  # type: ignore[assignment, method-assign]
    first, second = (
        history.add_message(automation, automation, contact, SINCE + timedelta(days=day)) for day in (0, 3)
    )
    for day in (1, 4, 5, 11):
        history.add_reply(contact, "email", SINCE + timedelta(days=day))
    replied = fetch_rows("select message_id, kind from message_responses order by at")
    assert replied == [{"message_id": first, "kind": "replied"}, {"message_id": second, "kind": "replied"}]


def test_tallies_are_removed_with_their_executions(alices, as_service):
    history = History(alices, SINCE, UNTIL)
    automation, contact, now = history.add_automation(), history.add_contact(), clock.now()
    for days in (3, 20):
        history.add_execution(automation, contact, now - timedelta(days=days), test=False)
    analytics_tallies.run_once()
    assert analytics_tallies.remove_old() == 0
    execute("update workspaces set keep_days = 7 where id = %s", (alices,))
    assert analytics_tallies.remove_old() > 0
    assert fetch_totals(alices, AnalyticsFilters(now - timedelta(days=30), now))["executions"] == 1
