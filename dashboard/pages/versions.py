"""The versions of an automation: any two compared, the executions in flight of each, and one with a way back to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import flask
from pydantic import Field

import metrics
from dashboard.api.automation_versions import DRAFT, find_text, require_version
from dashboard.api.automations import require_automation
from dashboard.bodies import Body, ShortText
from dashboard.pages import layout
from models import automation
from models.reports import automations as report
from models.reports.automations import AutomationDetail, PublishedVersion
from rules.definition_changes import list_changes
from rules.definition_text import get_source
from rules.language import PLAYBOOK
from rules.line_diff import compare_lines, list_patch_lines
from tasks.operators.active_moves import PlaceOfExecutions, list_places, move_active

version_pages = flask.Blueprint("version-pages", __name__)


class ComparisonQuery(Body):
    """The versions A and B by their numbers, or `draft`."""

    before: ShortText | None = Field(None, alias="from")
    after: ShortText | None = Field(None, alias="to")


@version_pages.get("/automations/<automation_id>/versions")
def compare(automation_id: str) -> Any:
    """Any two versions compared, in words and by lines, and the executions in flight of each version."""
    call = layout.require_page_permission()
    row = require_automation(call.workspace_id, automation_id)
    query, _ = layout.parse_query(ComparisonQuery)
    newest = DRAFT if row["has_draft"] else str(row["version"])
    after = query.after or newest
    before = query.before or _find_previous(row, after)
    old, new = (find_text(call.workspace_id, row, name) for name in (before, after))
    places = [] if row["type"] == PLAYBOOK else list_places(call.workspace_id, row["id"])
    lines = compare_lines(old.source, new.source)
    kinds = Counter(line.kind for line in lines)
    return layout.render(
        "versions.html", call, automation=row, before=old.name, after=new.name, lines=lines,
        changes=list_changes(old.definition, new.definition), added=kinds["added"], removed=kinds["removed"],
        active_places=places, active=_count_by_version(places), movable=_list_movable(row, places),
        may_restore=old.name not in (DRAFT, str(row["version"])) and "write" in call.permissions,
    )  # fmt: skip


def _find_previous(row: AutomationDetail, after: str) -> str:
    """What a version is compared with unless the query says so: the one before it; a draft with the published one."""
    if after == DRAFT:
        return str(row["version"]) if row["version"] else DRAFT
    return str(max(int(after) - 1, 1)) if after.isascii() and after.isdigit() else after


def _count_by_version(places: Sequence[PlaceOfExecutions]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for place in places:
        counts[place.version] += place.count
    return counts


def _list_movable(row: AutomationDetail, places: Sequence[PlaceOfExecutions]) -> list[tuple[int, int, int]]:
    """Each older version with the number of its executions that can move, and of all."""
    totals = _count_by_version([place for place in places if place.version != row["version"]])
    movable = _count_by_version([place for place in places if place.refusal is None])
    return [(version, movable[version], total) for version, total in totals.items()]


@version_pages.post("/automations/<automation_id>/versions/move")
def move(automation_id: str) -> Any:
    """Move the executions in flight of the selected versions to the published version."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    texts = flask.request.form.getlist("versions")
    versions = {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 10}
    result = move_active(call.workspace_id, row["id"], versions, call.actor)
    metrics.operator_actions_total.labels(action="move", result="done").inc()
    executions = "1 execution" if result.moved == 1 else f"{result.moved:,} executions"
    left = f" {result.left:,} stay on their version." if result.left else ""
    return layout.redirect(
        f"/automations/{row['id']}/versions", f"{executions} moved to version {row['version']}.{left}"
    )


@version_pages.get("/automations/<automation_id>/versions/<version>")
def show(automation_id: str, version: str) -> Any:
    """The version, compared with the version before it."""
    call = layout.require_page_permission()
    row = require_automation(call.workspace_id, automation_id)
    published = require_version(call.workspace_id, automation_id, version)
    number = published["version"]
    before = report.find_published(call.workspace_id, automation_id, number - 1)
    return layout.render(
        "version.html", call, automation=row, version=published, text=_get_text(published),
        changes=list_patch_lines(_get_text(before), _get_text(published), 3) if before is not None else None,
        sentences=list_changes(before["definition"], published["definition"]) if before is not None else [],
        may_restore=number != row["version"] and "write" in call.permissions,
    )  # fmt: skip


@version_pages.post("/automations/<automation_id>/versions/<version>/restore")
def restore(automation_id: str, version: str) -> Any:
    """Make the version the draft. It publishes nothing."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    published = require_version(call.workspace_id, automation_id, version)
    automation.save_draft_source(
        call.workspace_id, row["id"], _get_text(published), published["definition"], call.actor,
        base_version=row["version"], revision=row["draft_revision"],
    )  # fmt: skip
    return layout.redirect(
        f"/automations/{row['id']}/edit", f"Version {version} is the draft now. Publish it to use it."
    )


def _get_text(published: PublishedVersion) -> str:
    return get_source(published["source"], published["definition"]) or ""
