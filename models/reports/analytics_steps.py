"""Steps and actions in numbers: how far the executions of one automation get, and which actions are slow or fail.

Steps count at the time their execution was accepted. Executions are not counted by their steps together with a device,
a page, a trigger or a status: with such a filter the answers are None. Tests are in no number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypedDict

from models.database import acting_as
from models.queries import fetch_value
from models.reports.analytics_executions import fetch_totals
from models.reports.analytics_filters import AnalyticsFilters
from models.reports.analytics_messages import fetch_messages
from models.reports.analytics_reader import Counted, CountRow, build_numbers, group_rows, read_counts
from models.reports.overview import list_automation_names
from models.tables import Automation, WorkflowVersion
from rules.actions import ACTIONS
from rules.definition import Step, parse
from rules.language import AutomationType
from rules.plan import list_arms

ActionOrder = Literal["slowest", "failing"]

_WAITS = frozenset(name for name, action in ACTIONS.items() if action.is_wait)


class FunnelStep(TypedDict):
    """A step with the executions that entered it, and what became of them there: `waiting` has not ended
    there: it waits, is at work, or was cancelled.

    `depth` is the number of arms around the step; `arm` is the one it stands in, such as "then" or a variant's name,
    None outside of arms. `share` is 0 to 1 of all executions. A step of an earlier version only, which the published
    one lacks, has `action` None and comes last. For a playbook the steps are its actions, with `step_id` and `action`
    being their name.
    """

    step_id: str
    action: str | None
    depth: int
    arm: str | None
    entered: int
    succeeded: int
    skipped: int
    failed: int
    waiting: int
    share: float


class Funnel(TypedDict):
    """How far the executions of an automation accepted in the period got. `skipped_by_rules` were judged not to be
    sent before a step. `sent` and `replied` are messages sent in the period; `replied` is None where no channel of
    theirs tells."""

    executions: int
    skipped_by_rules: int
    steps: list[FunnelStep]
    sent: int
    replied: int | None


class ActionRow(TypedDict):
    """An action of an automation: `runs` are the steps that succeeded or failed, all rounds of follow-ups included.
    `failed_share` is 0 to 1 of the runs; the times are those of the runs' last attempts. A playbook's action is its
    name, such as "Replace Text"."""

    automation_id: str
    automation_name: str
    automation_type: AutomationType
    action: str
    runs: int
    failed: int
    failed_share: float
    p50_ms: int | None
    p95_ms: int | None


def fetch_funnel(workspace_id: str, automation_id: str, filters: AnalyticsFilters) -> Funnel | None:
    """Return the funnel of an automation; None with a filter by device, page, trigger or status."""
    if filters.is_by_execution:
        return None
    filters = _select(filters, automation_id)
    totals = fetch_totals(workspace_id, filters)
    messages = fetch_messages(workspace_id, filters) or []
    replied = [row["replied"] for row in messages if row["replied"] is not None]
    return {
        "executions": totals["executions"],
        "skipped_by_rules": totals["outcomes"].get("skipped", 0),
        "steps": _build_steps(workspace_id, automation_id, filters, totals["executions"]),
        "sent": sum(row["sent"] for row in messages),
        "replied": sum(replied) if replied else None,
    }


def _select(filters: AnalyticsFilters, automation_id: str) -> AnalyticsFilters:
    return AnalyticsFilters(filters.since, filters.until, filters.zone, filters.kind, automation_id, filters.channel)


def _build_steps(workspace_id: str, automation_id: str, filters: AnalyticsFilters, executions: int) -> list[FunnelStep]:
    groups = group_rows(
        read_counts(workspace_id, filters, Counted("steps", "step"), keys=("value",)), lambda row: row["value"]
    )
    rows = [
        _build_step(place, groups.pop(place[0].id, []), executions)
        for place in _list_steps(workspace_id, automation_id)
    ]
    for step_id in sorted(groups, key=lambda key: -sum(row["count"] for row in groups[key])):
        rows.append(_build_row(step_id, None, (0, None), groups[step_id], executions))
    return rows + _build_actions(workspace_id, filters, executions)


def _build_actions(workspace_id: str, filters: AnalyticsFilters, executions: int) -> list[FunnelStep]:
    """Build the steps of a playbook: the actions that browsers reported, in the order of their number."""
    filters = replace(filters, kind="playbooks")
    rows = read_counts(workspace_id, filters, Counted("steps", "action"), keys=("value",))
    groups = group_rows(rows, lambda row: row["value"])
    names = sorted(groups, key=lambda name: (-sum(row["count"] for row in groups[name]), name))
    return [_build_row(name, name, (0, None), groups[name], executions) for name in names]


def _build_step(place: tuple[Step, int, str | None], rows: Sequence[CountRow], executions: int) -> FunnelStep:
    step, depth, arm = place
    return _build_row(step.id, step.action, (depth, arm), rows, executions)


def _build_row(
    step_id: str, action: str | None, place: tuple[int, str | None], rows: Sequence[CountRow], executions: int
) -> FunnelStep:
    counts = {row["status"]: row["count"] for row in rows}
    ended = sum(counts.get(name, 0) for name in ("succeeded", "failed", "skipped"))
    # A playbook's actions are counted when they have ended.
    entered = counts.get("entered", ended)
    return {
        "step_id": step_id,
        "action": action,
        "depth": place[0],
        "arm": place[1],
        "entered": entered,
        "succeeded": counts.get("succeeded", 0),
        "skipped": counts.get("skipped", 0),
        "failed": counts.get("failed", 0),
        "waiting": entered - ended,
        "share": entered / executions if executions else 0.0,
    }


def _list_steps(workspace_id: str, automation_id: str) -> list[tuple[Step, int, str | None]]:
    """Return the steps of the published version in the order of the document, with their depth and arm."""
    query = (
        WorkflowVersion.select(WorkflowVersion.definition)
        .join(Automation, on=Automation.version_id == WorkflowVersion.id)
        .where(Automation.id == automation_id, Automation.workspace_id == workspace_id, Automation.type != "playbook")
    )
    with acting_as(workspace_id):
        definition = fetch_value(query)
    return list(_walk(parse(definition).steps, 0, None)) if definition else []


def _walk(steps: Sequence[Step], depth: int, arm: str | None) -> Iterator[tuple[Step, int, str | None]]:
    for step in steps:
        yield step, depth, arm
        for name, inner in list_arms(step).items():
            yield from _walk(inner, depth + 1, name)


def fetch_actions(
    workspace_id: str, filters: AnalyticsFilters, order: ActionOrder = "slowest", limit: int = 10
) -> list[ActionRow] | None:
    """Return the actions by automation, those with the highest p95 or the highest share of failures first; deliberate
    waits are left out. None with a filter by device, page, trigger or status."""
    if filters.is_by_execution:
        return None
    rows = read_counts(workspace_id, filters, Counted("steps", "action"), keys=("automation_id", "value"))
    groups = group_rows(rows, lambda row: (row["automation_id"], row["value"]))
    names = list_automation_names(workspace_id, sorted({automation_id for automation_id, _ in groups}))
    actions = [
        _build_action(names[id]["name"], names[id]["type"], id, action, group)
        for (id, action), group in groups.items()
        if id in names and action not in _WAITS
    ]
    actions = [row for row in actions if row["runs"]]
    actions.sort(key=lambda row: (row["automation_name"], row["action"]))
    actions.sort(key=lambda row: row["p95_ms"] or 0 if order == "slowest" else row["failed_share"], reverse=True)
    return actions[:limit]


def _build_action(
    name: str, type: AutomationType, automation_id: str, action: str, rows: Sequence[CountRow]
) -> ActionRow:
    counts = {row["status"]: row["count"] for row in rows}
    times = build_numbers(rows)
    failed = counts.get("failed", 0)
    runs = counts.get("succeeded", 0) + failed
    return {
        "automation_id": automation_id,
        "automation_name": name,
        "automation_type": type,
        "action": action,
        "runs": runs,
        "failed": failed,
        "failed_share": round(failed / runs, 4) if runs else 0.0,
        "p50_ms": times["p50_ms"],
        "p95_ms": times["p95_ms"],
    }
