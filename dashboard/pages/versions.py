"""One published version of an automation: its definition, what it changed, and a way back to it."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import flask

from dashboard.api.automation_versions import require_version
from dashboard.api.automations import require_automation
from dashboard.pages import layout
from models import automation
from models.reports import automations as report
from models.reports.automations import PublishedVersion
from rules.definition_changes import list_changes
from rules.definition_text import get_source

version_pages = flask.Blueprint("version-pages", __name__)


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
        changes=_compare(before, published) if before is not None else None,
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


def _compare(before: PublishedVersion, after: PublishedVersion) -> list[tuple[str, str]]:
    """The changed lines with their surroundings: each with `added`, `removed`, `place` or empty."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = unified_diff(_get_text(before).splitlines(), _get_text(after).splitlines(), lineterm="", n=3)
    return [(kinds.get(line[:1], ""), line) for line in list(lines)[2:]]
