"""Retry, cancel or discard all that a filter matches: first the number, then the deed, on exactly the same filter."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

import flask

from dashboard.errors import not_found
from dashboard.pages import filter_forms, layout
from tasks.operators import actions as operator_actions
from tasks.operators.actions import Action

bulk_pages = flask.Blueprint("bulk-pages", __name__)

DONE = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}
#: What each means, before it is done.
DESCRIPTIONS = {
    "retry": "Each goes on from its failed step; finished steps are not repeated.",
    "cancel": "Each ends where it stands. What was sent stays sent.",
    "discard": "Each is put away for good and cannot be retried any more.",
}


def _parse_action(name: str) -> Action:
    if name not in DONE:
        raise not_found()
    return cast(Action, name)


@bulk_pages.get("/executions/all/<action>")
def preview(action: str) -> Any:
    """How many the action would move."""
    call = layout.require_page_permission("write")
    form = filter_forms.parse(flask.request.args)
    filters = filter_forms.build_filters(form, call)
    matched = 0
    if filters is not None:
        result = operator_actions.act_on_matching(
            call.workspace_id, _parse_action(action), filters, call.actor, dry_run=True
        )
        matched = result["matched"]
    query = urlencode({name: text for name, text in flask.request.args.items() if text and name != "cursor"})
    return layout.render(
        "bulk.html",
        call,
        action=_parse_action(action),
        done=DONE[action],
        means=DESCRIPTIONS[action],
        matched=matched,
        fields=filter_forms.build_hidden_fields(filters) if filters else {},
        chips=filter_forms.build_chips(form, None),
        back=f"/executions?{query}" if query else "/executions",
    )


@bulk_pages.post("/executions/all/<action>")
def act(action: str) -> Any:
    """Do it, and say how many were moved."""
    call = layout.require_page_permission("write")
    filters = filter_forms.build_filters(filter_forms.parse(flask.request.form), call)
    if filters is None:
        raise not_found("Nothing can match this filter.")
    result = operator_actions.act_on_matching(
        call.workspace_id, _parse_action(action), filters, call.actor, dry_run=False
    )
    done = DONE[action]
    plural = "execution was" if result[done] == 1 else "executions were"
    return layout.redirect(layout.read_next_path("/executions"), f"{result[done]} {plural} {done}.")
