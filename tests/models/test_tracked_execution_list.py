"""The list of tracked executions: filtered, searched and paged, newest first, with every action of one execution."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

import clock
import settings
from models import automation, tracking_intake
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import fetch_values
from models.reports import tracked_executions as report
from models.reports.tracked_executions import TrackedFilters
from tests.support.tracking import build_entry, store

PLAYBOOK = {
    "trigger": {"type": "page"},
    "steps": [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}],
}


def publish(workspace_id: str, name: str = "Offer") -> str:
    return automation.create(workspace_id, name=name, type="playbook", definition=PLAYBOOK, actor=SYSTEM).automation_id


@pytest.fixture
def offer(alices: str) -> str:
    """A playbook of Alice's."""
    return publish(alices)


def record(workspace_id: str, automation_id: str, execution_id: str | None = None, **fields: Any) -> str:
    """Record one execution; return its id."""
    entry = build_entry(workspace_id, automation_id, execution_id, **fields)
    store(entry)
    assert tracking_intake.record(10).total == 1
    return str(entry["id"])


def list_ids(workspace_id: str, limit: int = 50, before: str | None = None, **filters: Any) -> list[str]:
    return [row["id"] for row in report.fetch_page(workspace_id, TrackedFilters(**filters), limit, before)]


def test_the_newest_is_first_and_pages_follow_one_another(alices, offer):
    ids = [record(alices, offer) for _ in range(5)]
    assert list_ids(alices) == ids[::-1]
    assert list_ids(alices, 2) == ids[:2:-1]
    assert list_ids(alices, 2, before=ids[3]) == [ids[2], ids[1]]


def test_each_filter_selects_what_it_names(alices, offer):
    other = publish(alices, "Other")
    usual = record(alices, offer)
    different = record(
        alices, other, status="timeout", device_type="mobile", page_url="https://a.example/cart/1?x=y",
        trigger_name="Exit Intent",
    )  # fmt: skip
    failed = record(alices, other, status="error", page_url="https://a.example/cart/2")
    assert list_ids(alices, automation_id=offer) == [usual]
    assert list_ids(alices, status="success") == [usual]
    assert list_ids(alices, status="error") == [failed]
    assert list_ids(alices, status="failed") == [failed, different]
    assert list_ids(alices, device_type="mobile") == [different]
    assert list_ids(alices, trigger_name="Exit Intent") == [different]
    assert list_ids(alices, page="/cart/1") == [different]
    assert list_ids(alices, page="/cart*") == [failed, different]
    assert list_ids(alices, page="/cart*", automation_id=offer) == []


def test_times_bound_when_an_execution_was_accepted(alices, offer):
    row_id = record(alices, offer)
    now, hour = clock.now(), timedelta(hours=1)
    assert list_ids(alices, since=now - hour, until=now + hour) == [row_id]
    assert list_ids(alices, since=now + hour) == list_ids(alices, until=now - hour) == []


def test_a_search_finds_ids_sessions_and_the_beginning_of_a_page(alices, offer):
    first = record(alices, offer, "exec-789", session_id="session-a", page_url="https://a.example/pricing/pro")
    second = record(alices, offer, "exec-790", session_id="session-b", page_url="https://a.example/%_pricing")
    assert list_ids(alices, q="exec-789") == list_ids(alices, q=first) == list_ids(alices, q="session-a") == [first]
    assert list_ids(alices, q="/pri") == [first]
    assert list_ids(alices, q="/%") == [second]
    assert list_ids(alices, q="/") == [second, first]
    assert list_ids(alices, q="session") == list_ids(alices, q="nothing") == list_ids(alices, q="a" * 300) == []


def test_a_rare_page_is_found_behind_many_others(alices, offer, monkeypatch):
    monkeypatch.setattr(report, "_SCAN_LIMIT", 2)
    rare = record(alices, offer, page_url="https://a.example/rare")
    usual = [record(alices, offer) for _ in range(3)]
    assert list_ids(alices, q="/rare") == [rare]
    assert list_ids(alices, 1, q="/pricing") == [usual[-1]]


def test_an_execution_has_its_actions_in_their_order(alices, offer):
    actions = [
        {"name": f"Action {number}", "selector": "#a", "execution_time_ms": number, "config": {"n": number},
         "error": "no such element" if number == 12 else None}
        for number in range(20)
    ]  # fmt: skip
    row_id = record(alices, offer, actions=actions)
    record(alices, offer)
    detail = report.fetch_detail(alices, row_id)
    assert detail is not None
    assert [action["name"] for action in detail["actions"]] == [action["name"] for action in actions]
    assert detail["actions"][12]["error"] == "no such element"
    assert detail["actions"][3]["config"] == {"n": 3}
    assert (detail["action_count"], detail["failed_actions"], detail["page_path"]) == (20, 1, "/pricing")


def test_another_workspace_sees_nothing(alices, charlies, offer):
    row_id = record(alices, offer, "exec-789")
    assert list_ids(charlies) == list_ids(charlies, q="exec-789") == list_ids(charlies, q=row_id) == []
    assert report.fetch_detail(charlies, row_id) is None


def test_a_path_of_any_length_is_recorded(alices, offer):
    row_id = record(alices, offer, page_url="https://a.example/" + "ä" * 4000)
    assert list_ids(alices, page="/ä*") == [row_id]


_FILL = """
    insert into workflow_executions (workspace_id, workflow_id, status, device_type, page_path)
    select %(workspace)s, %(workflow)s, case when n %% 50 = 0 then 'error' else 'success' end,
        case when n %% 50 = 0 then 'tablet' else 'mobile' end, '/page-' || n
    from generate_series(1, 3000) n
"""


def _fill(workspace_id, workflow_id):
    """Give the planner rows and statistics, so that no two indexes seem equally good."""
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        cursor.execute(_FILL, {"workspace": workspace_id, "workflow": workflow_id})
        cursor.execute("analyze workflow_executions")


@pytest.mark.parametrize("filters", [{"status": "failed"}, {"device_type": "tablet"}, {"page": "/a"}, {"page": "/a*"}])
def test_a_filter_uses_its_index_under_row_security(alices, offer, as_dashboard, filters):
    _fill(alices, offer)
    query = report._select_newest(alices, TrackedFilters(**filters), None)
    # A range of pages is collected and sorted: see `_collect`.
    query = query.order_by() if "*" in filters.get("page", "") else query.limit(10)
    sql, parameters = query.sql()
    with acting_as(alices):
        for name in ("enable_seqscan", "enable_bitmapscan"):
            fetch_values("select set_config(%s, 'off', true)", (name,))
        plan = "\n".join(fetch_values(f"explain {sql}", parameters))
    assert "Index Cond" in plan
    assert "Filter" not in plan.replace("One-Time Filter", "")
