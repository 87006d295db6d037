"""Moves executions in flight to the published version of their automation, where the plan allows it, after a dry run
that says what moving does to each. Those that a worker holds are left alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from models import active_version, audit, execution
from models.active_version import ActivePath, PublishedRow
from models.audit import AuditActor
from models.database import acting_as
from models.selection import select_many
from models.version_move import fetch_definitions
from rules.definition import Workflow, parse
from rules.plan import find_next_queue
from rules.version_moves import ActivePlace, describe_move, describe_place, explain_active_refusal
from tasks.runtime.notifications import notify_after_commit

#: Executions moved in one transaction.
BATCH_SIZE = 500
#: Executions moved by one call; the caller repeats it for the others.
MAX_MOVES = 20_000
_BUSY = "A worker is processing it."
_CURRENT = "It is on the published version."
_NOTHING_PUBLISHED = "Its automation has no published version."
_VERSION_GONE = "Its own version no longer exists."


@dataclass(frozen=True)
class PlaceOfExecutions:
    """Executions in flight of one version at one place; `refusal` is why they cannot move, None if they can, and then
    `outcome` is what moving does to each."""

    version: int
    place: str
    count: int
    refusal: str | None
    outcome: str | None


@dataclass(frozen=True)
class MoveResult:
    """How many executions were moved, and how many were left on their version."""

    moved: int
    left: int


def list_places(workspace_id: str, automation_id: str) -> list[PlaceOfExecutions]:
    """Return where the executions in flight of an automation are, by version, and what moving does to them."""
    with acting_as(workspace_id):
        published, paths = active_version.find_published(automation_id), active_version.list_paths(automation_id)
        workflows = _load_workflows(published, paths)
    merged: dict[tuple[int, str, str | None, str | None], int] = {}
    for path in paths:
        refusal, outcome = _judge(path, published, workflows)
        own = workflows.get(path["version_id"])
        place = describe_place(own, _build_place(path)) if own is not None else "Unknown"
        key = (path["version"], place, refusal, outcome)
        merged[key] = merged.get(key, 0) + path["count"]
    return [
        PlaceOfExecutions(version, place, count, refusal, outcome)
        for (version, place, refusal, outcome), count in merged.items()
    ]


def move_active(workspace_id: str, automation_id: str, versions: Collection[int], actor: AuditActor) -> MoveResult:
    """Move the executions of these versions that can move, in batches; at most `MAX_MOVES` are looked at."""
    moved, looked_at, number = 0, 0, 0
    after: str | None = None
    while looked_at < MAX_MOVES:
        with acting_as(workspace_id):
            published = active_version.find_published(automation_id)
            if published is None or published["version_id"] is None:
                break
            number = published["version"]
            ids = active_version.list_older(automation_id, published["version_id"], sorted(versions), after, BATCH_SIZE)
            if not ids:
                break
            moved += _move_batch(automation_id, published, ids, workspace_id)
            after, looked_at = ids[-1], looked_at + len(ids)
    if moved:
        with acting_as(workspace_id):
            detail = {"from": sorted(versions), "to": number, "moved": moved}
            audit.record(workspace_id, actor, "automation.executions_moved", "automation", automation_id, detail)
    return MoveResult(moved, looked_at - moved)


def _move_batch(automation_id: str, published: PublishedRow, ids: Sequence[str], workspace_id: str) -> int:
    execution.lock(select_many(ids))
    # What a worker has taken in the meantime is no longer pending or waiting.
    paths = active_version.list_paths(automation_id, ids)
    workflows = _load_workflows(published, paths)
    moved = 0
    for path in paths:
        if _judge(path, published, workflows)[0] is not None:
            continue
        version_id = published["version_id"] or ""
        queue = find_next_queue(workflows[version_id], _build_place(path).finished)
        moved += active_version.move(path["ids"], version_id, published["version"], queue)
        if path["status"] == "pending":
            notify_after_commit([{"id": id_, "queue": queue, "workspace_id": workspace_id} for id_ in path["ids"]])
    return moved


def _judge(
    path: ActivePath, published: PublishedRow | None, workflows: Mapping[str, Workflow]
) -> tuple[str | None, str | None]:
    """Why they cannot move, or what moving does to each."""
    version_id = published["version_id"] if published else None
    if published is None or version_id is None:
        return _NOTHING_PUBLISHED, None
    if path["version_id"] == version_id:
        return _CURRENT, None
    before, after = workflows.get(path["version_id"]), workflows.get(version_id)
    if before is None or after is None:
        return _VERSION_GONE, None
    if path["status"] not in ("pending", "waiting"):
        return _BUSY, None
    place = _build_place(path)
    refusal = explain_active_refusal(before, after, place)
    return refusal, None if refusal else describe_move(before, after, place)


def _build_place(path: ActivePath) -> ActivePlace:
    return ActivePlace(
        finished={step_id: {"taken": arm} if arm else {} for step_id, arm in path["taken"].items()},
        is_begun=path["is_begun"],
        is_retry=path["is_failed"],
        failed_step=path["failed_step"],
        waits_for_reply=path["waiting_for"] == "follow_up",
        round=path["round"],
    )


def _load_workflows(published: PublishedRow | None, paths: Sequence[ActivePath]) -> dict[str, Workflow]:
    ids = {path["version_id"] for path in paths}
    if published is not None and published["version_id"] is not None:
        ids.add(published["version_id"])
    return {version_id: parse(definition) for version_id, definition in fetch_definitions(sorted(ids)).items()}
