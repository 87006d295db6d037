"""One published version of an automation: its definition, what it changed, and for playbooks a way back to it."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.errors import ProblemError, not_found
from dashboard.pages import layout
from models import automation
from models.reports import automations as report
from rules.serialization import write

version_pages = flask.Blueprint("version-pages", __name__)

#: The largest number of a version: that of an integer column.
_MAX_VERSION = 2**31 - 1


@version_pages.get("/automations/<automation_id>/versions/<version>")
def show(automation_id: str, version: str) -> Any:
    """The version, compared with the version before it."""
    call = layout.require_page_permission()
    row = require_automation(call.workspace_id, automation_id)
    definition = _require_version(call, automation_id, version)
    number = int(version)
    before = report.find_version(call.workspace_id, automation_id, number - 1)
    (facts,) = [published for published in row["versions"] if published["version"] == number]
    return layout.render(
        "version.html", call, automation=row, version=facts, text=write(definition),
        changes=_compare(before, definition) if before is not None else None,
        may_restore=row["type"] == "playbook" and number != row["version"] and "write" in call.permissions,
    )  # fmt: skip


@version_pages.post("/automations/<automation_id>/versions/<version>/restore")
def restore(automation_id: str, version: str) -> Any:
    """Make the version the draft of a playbook. It publishes nothing."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    definition = _require_version(call, automation_id, version)
    if row["type"] != "playbook":
        raise ProblemError(422, "Only versions of playbooks can be restored as drafts.")
    automation.save_draft(
        call.workspace_id, row["id"], definition, call.actor,
        base_version=row["version"], seen_draft=row["draft_saved_at"],
    )  # fmt: skip
    return layout.redirect(
        f"/automations/{row['id']}/edit", f"Version {version} is the draft now. Publish it to use it."
    )


def _require_version(call: Caller, automation_id: str, version: str) -> dict[str, Any]:
    is_number = version.isascii() and version.isdigit() and int(version[:12]) <= _MAX_VERSION
    definition = report.find_version(call.workspace_id, automation_id, int(version)) if is_number else None
    if definition is None:
        raise not_found("This automation has no such version.")
    return definition


def _compare(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    """The changed lines of the YAML with their surroundings: each with `added`, `removed`, `place` or empty."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = unified_diff(write(before).splitlines(), write(after).splitlines(), lineterm="", n=3)
    return [(kinds.get(line[:1], ""), line) for line in list(lines)[2:]]
