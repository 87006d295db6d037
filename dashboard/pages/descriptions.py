"""The page of a draft from a description: its flow, its text, its problems and addresses, before anything is saved."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.api.automations import require_automation
from dashboard.definitions import get_text
from dashboard.errors import ProblemError
from dashboard.pages import layout
from dashboard.pages.editor_tree import build_heads, build_steps
from dashboard.pages.flow_drawing import describe, draw
from dashboard.proposals import MAX_DESCRIPTION, Proposal, propose
from models.reports.automations import AutomationDetail
from rules.definition_changes import list_changes
from rules.line_diff import compare_lines

description_pages = flask.Blueprint("description-pages", __name__)


@description_pages.post("/automations/describe")
def show_proposal() -> Any:
    """The draft for a description, of a new automation or of a change. Nothing is saved."""
    call = layout.require_page_permission("write")
    form = flask.request.form
    text, automation_id = form.get("description", "").strip(), form.get("automation", "")
    row = require_automation(call.workspace_id, automation_id) if automation_id else None
    context: dict[str, Any] = {"automation": row, "description": text, "proposal": None, "max_length": MAX_DESCRIPTION}
    try:
        if not 0 < len(text) <= MAX_DESCRIPTION:
            raise ProblemError(422, f"Describe the automation in 1 to {MAX_DESCRIPTION:,} characters.")
        proposal = propose(call, text, row)
    except ProblemError as error:
        answer = layout.render("automation_proposal.html", call, fault=error.detail, **context)
        return answer, error.status, error.headers
    context |= {"proposal": proposal, **_build_views(proposal, row)}
    return layout.render("automation_proposal.html", call, fault=None, **context)


def _build_views(proposal: Proposal, row: AutomationDetail | None) -> dict[str, Any]:
    """The views of a proposal that can be read: its flow and steps, and its differences from the current text."""
    document = proposal.document if isinstance(proposal.document, dict) else {}
    current = row and (row["draft"] if row["has_draft"] else row["definition"])
    flow = draw(document)
    return {
        "flow": flow,
        "flow_text": describe(flow),
        "nodes": (*build_heads(document, (), ()), *build_steps(document.get("steps"), (), ())),
        "sentences": list_changes(current, document) if isinstance(current, dict) and document else [],
        "changes": compare_lines(get_text(row), proposal.source) if row else [],
    }
