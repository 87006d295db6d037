"""Ends an experiment by one of its variants: the next version has the variant's steps instead of the split.

Executions in flight stay on their version. The text of the definition keeps its comments, also those
of the kept steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import metrics
from dashboard.access import Caller
from dashboard.definitions import edit_text, require_valid, rewrite_text
from dashboard.errors import not_found
from ephemeral import workflow_cache
from models import audit, automation
from models.automation import Publication
from models.database import acting_as, db
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.experiment_endings import Split, list_edits, list_splits, replace_split


@dataclass(frozen=True)
class Ending:
    """The version that ends an experiment, not published yet."""

    automation: AutomationDetail
    split: Split
    variant: str
    definition: dict[str, Any]
    source: str | None


def require_split(row: AutomationDetail, step_id: str) -> Split:
    """The split of the published version. Raises `ProblemError` 404."""
    splits = {split.step_id: split for split in list_splits(row["definition"] or {})}
    if step_id not in splits:
        raise not_found("The published version has no such experiment.")
    return splits[step_id]


def prepare_ending(row: AutomationDetail, step_id: str, variant: str) -> Ending:
    """The version that has the variant's steps instead of the split. Raises `ProblemError` 404 without such a split or
    variant, `Conflict` where a draft would be lost, and `InvalidDefinition` where other steps need the split."""
    split = require_split(row, step_id)
    definition = replace_split(row["definition"] or {}, step_id, variant)
    if definition is None:
        raise not_found("This experiment has no such variant.")
    if row["has_draft"]:
        raise Conflict(describe_draft(row), "draft")
    require_valid(definition, row["type"])
    return Ending(row, split, variant, definition, _edit_source(row, step_id, variant, definition))


def _edit_source(row: AutomationDetail, step_id: str, variant: str, definition: dict[str, Any]) -> str | None:
    """The text of the version: the variant's steps keep their comments. None for a version that has no text."""
    if row["source"] is None:
        return None
    edits = list_edits(row["definition"] or {}, step_id, variant)
    edited = edit_text(row["source"], [(edit.op, edit.path, edit.value, edit.to) for edit in edits])
    return rewrite_text(edited, definition)


def describe_draft(row: AutomationDetail) -> str:
    """Why a draft keeps an experiment from being ended."""
    return f"{row['draft_saved_by']} saved a draft, which publishing would delete. Publish or discard the draft first."


def publish_ending(call: Caller, ending: Ending, expected_version: int) -> Publication:
    """Publish the version. Raises `Conflict` if another version was published since."""
    row, step_id = ending.automation, ending.split.step_id
    with acting_as(call.workspace_id):
        publication = automation.publish(
            call.workspace_id, row["id"], ending.definition, call.actor, expected_version=expected_version,
            note=f"Experiment “{step_id}” ended by variant “{ending.variant}”"[:200], is_valid=True,
            source=ending.source, expected_revision=row["draft_revision"],
        )  # fmt: skip
        audit.record(
            call.workspace_id, call.actor, "automation.experiment_ended", "automation", row["id"],
            {"step": step_id, "variant": ending.variant, "version": publication.version},
        )  # fmt: skip
        db.after_commit(lambda: workflow_cache.invalidate(call.workspace_id))
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    return publication
