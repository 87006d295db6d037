"""Duplicates an automation: the copy has its text as a draft, and is off. Counts, runs and hook URLs are not copied."""

from __future__ import annotations

from dashboard.access import Caller
from dashboard.api.automations import require_automation
from models import automation
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.definition_text import get_source

#: Characters of a name.
MAX_NAME_LENGTH = 200


def duplicate_automation(call: Caller, row: AutomationDetail, name: str | None = None) -> AutomationDetail:
    """Create a copy of the published version, else of the draft; return it. Raises `Conflict` without either."""
    if not row["version"] and not row["has_draft"]:
        raise Conflict("This automation has no version and no draft to copy.")
    definition, source = (row["definition"], row["source"]) if row["version"] else (row["draft"], row["draft_source"])
    copy_id = automation.create_draft(
        call.workspace_id, name=name or f"Copy of {row['name']}"[:MAX_NAME_LENGTH], type=row["type"], draft=definition,
        actor=call.actor, source=get_source(source, definition),
    )  # fmt: skip
    return require_automation(call.workspace_id, copy_id)
