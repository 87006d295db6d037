"""Executions in flight by the version and the path that they have taken, without tests. `rules.version_moves` decides
which can continue on another version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from peewee import SQL, fn

from models.expressions import is_any
from models.queries import execute, fetch, fetch_first, fetch_values
from models.tables import Automation, Execution, Step
from rules.stages import Queue, Status


class ActivePath(TypedDict):
    """Executions in flight at one place of one version. `is_begun` says that they are past the check of the rules;
    `taken` has the arm that each finished step took, null for steps without arms. `failed_step` is where they failed,
    if they are to be retried."""

    version_id: str
    version: int
    status: Status
    is_begun: bool
    is_failed: bool
    waiting_for: str | None
    failed_step: str | None
    round: int
    taken: dict[str, str | None]
    count: int
    ids: list[str]


class PublishedRow(TypedDict):
    """The published version of an automation; null where nothing is published."""

    version_id: str | None
    version: int


def find_published(automation_id: str) -> PublishedRow | None:
    """Return the published version of an automation of the acting workspace."""
    query = Automation.select(Automation.version_id, Automation.version)
    return fetch_first(PublishedRow, query.where(Automation.id == automation_id))


def list_paths(automation_id: str, execution_ids: Sequence[str] | None = None) -> list[ActivePath]:
    """Return the executions in flight of an automation, or of these, by version and place, newest version first."""
    condition = (Execution.automation_id == automation_id) & Execution.finished_at.is_null() & ~Execution.test
    if execution_ids is not None:
        condition &= is_any(Execution.id, execution_ids)
    arms = fn.jsonb_object_agg(Step.step_id, Step.output.extract_text("taken"))
    taken = Step.select(fn.coalesce(arms, SQL("'{}'"))).where(
        Step.execution_id == Execution.id, Step.status.in_(("succeeded", "skipped"))
    )
    begun = Execution.stage.not_in(("queued", "checking", "eligible"))
    place = Execution.select(
        Execution.id, Execution.version_id, Execution.version, Execution.status, begun.alias("is_begun"),
        (Execution.stage == "failed").alias("is_failed"), Execution.waiting_for, Execution.failed_step,
        Execution.round, taken.alias("taken"),
    ).where(condition).cte("place")  # fmt: skip
    names = (
        "version_id", "version", "status", "is_begun", "is_failed", "waiting_for", "failed_step", "round", "taken",
    )  # fmt: skip
    columns = [getattr(place.c, name) for name in names]
    query = (
        place.select_from(*columns, fn.count(SQL("*")).alias("count"), fn.array_agg(place.c.id).alias("ids"))
        .group_by(*columns)
        .order_by(place.c.version.desc(), SQL("count desc"), place.c.status, place.c.taken)
    )  # fmt: skip
    return fetch(ActivePath, query)


def list_older(
    automation_id: str, version_id: str, versions: Sequence[int], after: str | None, limit: int
) -> list[str]:
    """Return the ids of executions in flight of these versions that no worker holds, but not of the version
    `version_id`; those after `after`, if it is set."""
    query = Execution.select(Execution.id).where(
        Execution.automation_id == automation_id, Execution.finished_at.is_null(), ~Execution.test,
        Execution.status.in_(("pending", "waiting")), Execution.version_id != version_id,
        Execution.version.in_(list(versions)),
    )  # fmt: skip
    if after is not None:
        query = query.where(Execution.id > after)
    return fetch_values(query.order_by(Execution.id).limit(limit))


def move(execution_ids: Sequence[str], version_id: str, version: int, queue: Queue) -> int:
    """Move executions that no worker holds to another version, on the queue of its next outside call; return how
    many."""
    return execute(
        Execution.update(version_id=version_id, version=version, queue=queue).where(
            is_any(Execution.id, execution_ids), Execution.status.in_(("pending", "waiting"))
        )
    )
