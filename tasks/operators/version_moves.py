"""Retries executions on the current version of their automation, where `rules.version_moves` allows it.

The caller acts as the workspace, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models import execution, version_move
from models.engine.rows import DueRow
from models.selection import Selection, select_many
from models.version_move import VersionPath
from rules.definition import Workflow, parse
from rules.plan import find_next_queue
from rules.version_moves import explain_refusal

_NOTHING_PUBLISHED = "Its automation has no published version."
_VERSION_GONE = "Its own version no longer exists."


def find_refusals(selection: Selection) -> dict[str, str]:
    """Lock the selected executions; return why some of them cannot move to the current version, by id."""
    execution.lock(selection)
    paths = version_move.list_paths(selection)
    workflows = _load_workflows(paths)
    refusals = [(path["ids"], _explain(path, workflows)) for path in paths]
    return {execution_id: refusal for ids, refusal in refusals if refusal for execution_id in ids}


def count_refusals(condition: Any) -> int:
    """Count the executions of a condition that cannot move to the current version."""
    paths = version_move.count_paths(condition)
    workflows = _load_workflows(paths)
    return sum(path["count"] for path in paths if _explain(path, workflows))


def move_to_current(rows: Sequence[DueRow]) -> list[DueRow]:
    """Move these executions to the current version; return them with the queues to notify."""
    paths = version_move.list_paths(select_many([row["id"] for row in rows]))
    workflows = _load_workflows(paths)
    queues = {row["id"]: row["queue"] for row in rows}
    for path in paths:
        version_id = path["current_version_id"]
        assert version_id is not None  # Refused otherwise.
        queue = find_next_queue(workflows[version_id], _build_finished(path))
        version_move.move(path["ids"], version_id, path["current_version"], queue)
        queues |= dict.fromkeys(path["ids"], queue)
    return [{**row, "queue": queues[row["id"]]} for row in rows]


def _load_workflows(paths: Sequence[VersionPath]) -> dict[str, Workflow]:
    ids = {version_id for path in paths for version_id in (path["version_id"], path["current_version_id"])}
    definitions = version_move.fetch_definitions(sorted(version_id for version_id in ids if version_id))
    return {version_id: parse(definition) for version_id, definition in definitions.items()}


def _explain(path: VersionPath, workflows: Mapping[str, Workflow]) -> str | None:
    before, after = workflows.get(path["version_id"]), workflows.get(path["current_version_id"] or "")
    if after is None:
        return _NOTHING_PUBLISHED
    if before is None:
        return _VERSION_GONE
    return explain_refusal(before, after, _build_finished(path), path["failed_step"], path["round"])


def _build_finished(path: VersionPath) -> dict[str, Mapping[str, object]]:
    return {step_id: {"taken": arm} if arm else {} for step_id, arm in path["taken"].items()}
