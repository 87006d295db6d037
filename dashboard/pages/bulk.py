"""Retry, cancel or discard all executions that match a filter: a preview with the number, then the action on the same
filter."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

import flask

from dashboard.errors import not_found
from dashboard.pages import filter_forms, layout
from models.tables.workspaces import OperationKind
from tasks.operators import bulk
from tasks.operators.bulk import BULK_ACTIONS

bulk_pages = flask.Blueprint("bulk-pages", __name__)

#: What each action does, shown before it runs.
DESCRIPTIONS = {
    "retry": "Each resumes at its failed step. Finished steps are not repeated.",
    "cancel": "Each ends at its current step. Messages already sent are not recalled.",
    "discard": "Discarded executions cannot be retried.",
}


def _parse_action(name: str) -> OperationKind:
    if name not in DESCRIPTIONS:
        raise not_found()
    return cast(OperationKind, name)


@bulk_pages.get("/executions/all/<action>")
def preview(action: str) -> Any:
    """Show how many executions the action would change."""
    call = layout.require_page_permission("write")
    form = filter_forms.parse(flask.request.args)
    filters = filter_forms.build_filters(form, call)
    kind = _parse_action(action)
    matched = 0
    if filters is not None:
        matched = bulk.preview(call.workspace_id, kind, filters).matched
    query = urlencode({name: text for name, text in flask.request.args.items() if text and name != "cursor"})
    return layout.render(
        "bulk.html",
        call,
        action=kind,
        outcome=BULK_ACTIONS[kind].past,
        description=DESCRIPTIONS[kind],
        matched=matched,
        fields=filter_forms.build_hidden_fields(filters) if filters else {},
        chips=filter_forms.build_chips(form, None),
        back_url=f"/executions?{query}" if query else "/executions",
    )


@bulk_pages.post("/executions/all/<action>")
def act(action: str) -> Any:
    """Run the action and report how many executions changed."""
    call = layout.require_page_permission("write")
    filters = filter_forms.build_filters(filter_forms.parse(flask.request.form), call)
    if filters is None:
        raise not_found("No execution can match this filter.")
    kind = _parse_action(action)
    outcome = BULK_ACTIONS[kind].past
    count = bulk.start(call.workspace_id, kind, filters, call.actor)["done"]
    noun = "execution" if count == 1 else "executions"
    return layout.redirect(layout.read_next_path("/executions"), f"{count} {noun} {outcome}.")
