"""Retry, cancel or discard all that a filter matches: first the number, then the deed, on exactly the same filter."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

import flask

from dashboard.errors import not_there
from dashboard.pages import choosing, frame
from tasks import operators
from tasks.operators import Action

bulk_pages = flask.Blueprint("bulk-pages", __name__)

DONE = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}
#: What each means, before it is done.
MEANS = {
    "retry": "Each goes on from its failed step; finished steps are not repeated.",
    "cancel": "Each ends where it stands. What was sent stays sent.",
    "discard": "Each is put away for good and cannot be retried any more.",
}


def _action(name: str) -> Action:
    if name not in DONE:
        raise not_there()
    return cast(Action, name)


@bulk_pages.get("/executions/all/<action>")
def ask(action: str) -> Any:
    """How many the action would move."""
    call = frame.visitor("write")
    chosen = choosing.read(flask.request.args)
    filters = choosing.filters(chosen, call)
    matched = 0
    if filters is not None:
        result = operators.act_on_matching(call.workspace_id, _action(action), filters, call.actor, dry_run=True)
        matched = result["matched"]
    query = urlencode({name: text for name, text in flask.request.args.items() if text and name != "cursor"})
    return frame.render(
        "bulk.html",
        call,
        action=_action(action),
        done=DONE[action],
        means=MEANS[action],
        matched=matched,
        fields=choosing.fields(filters) if filters else {},
        chips=choosing.chips(chosen, None),
        back=f"/executions?{query}" if query else "/executions",
    )


@bulk_pages.post("/executions/all/<action>")
def act(action: str) -> Any:
    """Do it, and say how many were moved."""
    call = frame.visitor("write")
    filters = choosing.filters(choosing.read(flask.request.form), call)
    if filters is None:
        raise not_there("Nothing can match this filter.")
    result = operators.act_on_matching(call.workspace_id, _action(action), filters, call.actor, dry_run=False)
    done = DONE[action]
    plural = "execution was" if result[done] == 1 else "executions were"
    return frame.go(frame.back("/executions"), f"{result[done]} {plural} {done}.")
