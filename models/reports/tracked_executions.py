"""Executions of playbooks for display: a page of the list, and one with its actions.

The list is read newest first by the ids, which grow with time. A search first looks at the newest executions, where
common pages are found at once; only a rare one is collected by its index and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypedDict

import peewee
from peewee import SQL, fn

from models.database import acting_as, snapshot
from models.expressions import all_of, is_any
from models.ids import is_id
from models.queries import fetch, fetch_values
from models.tables import AnalyticsEvent, Automation, TrackedExecutionId, WorkflowExecution
from rules.tracking import DeviceType, ExecutionResult

#: A result, or `failed`: errors and time-outs.
ResultFilter = Literal[ExecutionResult, "failed"]

#: The newest executions that a search looks at before it uses the indexes of what is searched.
_SCAN_LIMIT = 5000
#: Of paths by bytes, what is behind every path with a prefix.
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class TrackedFilters:
    """Optional filters, combined with AND.

    `page` is a path, or with `*` at its end its beginning. `q` is an execution's id, ours or the client's, a session,
    or the beginning of a path. `since` and `until` (exclusive) bound the time the execution was accepted.
    """

    automation_id: str | None = None
    status: ResultFilter | None = None
    device_type: DeviceType | None = None
    page: str | None = None
    trigger_name: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class TrackedRow(TypedDict):
    """An execution of a list; `execution_id` is the client's. `executed_at` is the browser's time."""

    id: str
    execution_id: str | None
    automation_id: str
    automation_name: str
    #: Whether the automation was deleted since.
    automation_deleted: bool
    status: ExecutionResult
    execution_time_ms: int | None
    page_url: str | None
    page_path: str | None
    session_id: str | None
    user_id: str | None
    device_type: DeviceType | None
    trigger_name: str | None
    action_count: int
    failed_actions: int
    executed_at: datetime


class TrackedAction(TypedDict):
    """An action of an execution, with its configuration as the browser sent it."""

    name: str | None
    selector: str | None
    execution_time_ms: int | None
    config: Any
    error: str | None


class TrackedDetail(TrackedRow):
    """An execution with its actions in their order."""

    actions: list[TrackedAction]


def fetch_page(workspace_id: str, filters: TrackedFilters, limit: int, before: str | None = None) -> list[TrackedRow]:
    """Return at most `limit` executions, newest first, older than the one with id `before`."""
    with acting_as(workspace_id):
        if filters.q is not None:
            return _search(workspace_id, filters, limit, before)
        if filters.page is not None and filters.page.endswith("*"):
            query = _select_newest(workspace_id, replace(filters, page=None), before)
            return _find_pages(query, filters.page, limit)
        return _fetch_rows(_select_newest(workspace_id, filters, before).limit(limit))


def fetch_detail(workspace_id: str, row_id: str) -> TrackedDetail | None:
    """Return one execution with its actions; None if the workspace has none with this id."""
    execution, event = WorkflowExecution, AnalyticsEvent
    page = execution.select(execution.id).where(execution.workspace_id == workspace_id, execution.id == row_id)
    with snapshot(workspace_id):
        rows = _fetch_rows(page)
        if not rows:
            return None
        # The ids of the actions are the execution's with their position in the last byte.
        lowest, highest = f"{row_id[:-2]}00", f"{row_id[:-2]}ff"
        actions = (
            event.select(
                event.name, event.element_selector.alias("selector"), event.execution_time_ms,
                event.event_data.alias("config"), event.error,
            )
            .where(event.id.between(lowest, highest), event.workflow_execution_id == row_id)
            .order_by(event.id)
        )  # fmt: skip
        return {**rows[0], "actions": fetch(TrackedAction, actions)}


def _select_newest(workspace_id: str, filters: TrackedFilters, before: str | None) -> Any:
    execution = WorkflowExecution
    conditions = [execution.workspace_id == workspace_id, *_build_conditions(filters)]
    if before is not None:
        conditions.append(execution.id < before)
    return execution.select(execution.id).where(all_of(*conditions)).order_by(execution.id.desc())


def _build_conditions(filters: TrackedFilters) -> list[Any]:
    execution = WorkflowExecution
    conditions: list[Any] = [
        column == value
        for column, value in (
            (execution.workflow_id, filters.automation_id),
            (execution.status, None if filters.status == "failed" else filters.status),
            (execution.device_type, filters.device_type),
            (execution.trigger_name, filters.trigger_name),
        )
        if value is not None
    ]
    if filters.status not in (None, "success"):
        # The words of the index on failures.
        conditions.append(execution.status != "success")
    if filters.page is not None:
        conditions.append(_match_page(filters.page))
    if filters.since is not None:
        conditions.append(execution.id >= fn.lowest_id_at(filters.since))
    if filters.until is not None:
        conditions.append(execution.id < fn.lowest_id_at(filters.until))
    return conditions


def _match_page(page: str) -> Any:
    """Build whether the path is `page`, or begins with it where it ends in a star; a range of the index either way."""
    path = peewee.NodeList((WorkflowExecution.page_path, SQL('collate "C"')))
    if not page.endswith("*"):
        return peewee.Expression(path, "=", peewee.Value(page))
    prefix = page.rstrip("*")
    return all_of(
        peewee.Expression(path, ">=", peewee.Value(prefix)),
        peewee.Expression(path, "<", peewee.Value(prefix + _LAST_CHARACTER)),
    )


def _search(workspace_id: str, filters: TrackedFilters, limit: int, before: str | None) -> list[TrackedRow]:
    text = filters.q or ""
    query = _select_newest(workspace_id, replace(filters, q=None), before)
    if not text.startswith("/"):
        return _collect(query.where(_match_name(workspace_id, text)), limit)
    return _find_pages(query, f"{text}*", limit)


def _find_pages(query: Any, pages: str, limit: int) -> list[TrackedRow]:
    """Fetch the newest executions on pages with a prefix: common ones are among the newest, rare ones are collected."""
    newest = query.limit(_SCAN_LIMIT).alias("newest")
    execution, match = WorkflowExecution, _match_page(pages)
    scanned = execution.select(execution.id).join(newest, on=newest.c.id == execution.id).where(match)
    rows = _fetch_rows(scanned.order_by(execution.id.desc()).limit(limit))
    return rows if len(rows) == limit else _collect(query.where(match), limit)


def _collect(query: Any, limit: int) -> list[TrackedRow]:
    """Fetch the newest of few executions."""
    # Without `offset 0` PostgreSQL might scan all executions for a page that is never full.
    collected = query.order_by().offset(0).alias("collected")
    return _fetch_rows(peewee.Select([collected], [collected.c.id]).order_by(collected.c.id.desc()).limit(limit))


def _match_name(workspace_id: str, text: str) -> Any:
    """Build whether an execution's id, its client's id or its session is `text`."""
    execution, key = WorkflowExecution, TrackedExecutionId
    ids = fetch_values(key.select(key.id).where(key.workspace_id == workspace_id, key.execution_id == text))
    ids += [text.lower()] if is_id(text) else []
    return (execution.session_id == text) | is_any(execution.id, ids)


def _fetch_rows(page: Any) -> list[TrackedRow]:
    """Fetch the executions of `page` (ids). The join runs only for these."""
    execution, ids = WorkflowExecution, page.alias("page")
    query = (
        execution.select(
            execution.id, execution.execution_id, execution.workflow_id.alias("automation_id"),
            Automation.name.alias("automation_name"),
            Automation.deleted_at.is_null(False).alias("automation_deleted"), execution.status,
            execution.execution_time_ms,
            execution.page_url, execution.page_path, execution.session_id, execution.user_id, execution.device_type,
            execution.trigger_name, execution.action_count, execution.failed_actions, execution.executed_at,
        )
        .join(ids, on=ids.c.id == execution.id)
        .join(Automation, on=Automation.id == execution.workflow_id)
        .order_by(execution.id.desc())
    )  # fmt: skip
    return fetch(TrackedRow, query)
