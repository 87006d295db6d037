"""Bulk actions on all executions that match a filter: a preview with the number, then the action on the same filter,
and the progress of an action.

The preview is the only question. An action applies to what matched at the preview and still matches: for failures the
form carries the time of the preview.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import flask
from werkzeug.datastructures import MultiDict

from dashboard.access import Caller
from dashboard.errors import not_found
from dashboard.own_paths import ensure_own_path
from dashboard.pages import contact_import, filter_forms, layout
from models import operation
from models.execution_filters import ExecutionFilters
from models.ids import is_id
from models.operation import OperationRow
from models.reports import failures
from models.tables.workspaces import OperationKind
from tasks.operators import bulk
from tasks.operators.bulk import BULK_ACTIONS

bulk_pages = flask.Blueprint("bulk-pages", __name__)

#: Conflicts on the page of an operation.
MAX_CONFLICTS = 100

#: What each action does, shown before it runs.
DESCRIPTIONS = {
    "retry": "Each resumes at its failed step. Finished steps are not repeated.",
    "cancel": "Each ends at its current step. Messages already sent are not recalled.",
    "discard": "Discarded executions cannot be retried.",
    "sent": "Each continues with its next step, as if the provider had accepted its message.",
    "resend": "If the provider accepted the first attempt, the contact gets the message twice.",
    "look_up": "The provider is asked about each message. One that it has counts as sent; otherwise nothing changes.",
}
#: The buttons; "{n}" stands for the number with its noun.
_BUTTONS = {
    "retry": "Retry {n}", "cancel": "Cancel {n}", "discard": "Discard {n}", "sent": "Mark {n} as sent",
    "resend": "Send {n} again", "look_up": "Look up {n} now",
}  # fmt: skip
_OF_MESSAGES = ("sent", "resend", "look_up")
#: What can be done about messages of unknown outcome, which are not retried.
DECISIONS: tuple[OperationKind, ...] = ("sent", "look_up", "resend", "discard")


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
    if filters is not None and kind != "cancel" and filters.stage_until is None:
        # What fails from now on is not what the operator sees.
        filters = replace(filters, stage_until=failures.fetch_time())
    matched = bulk.preview(call.workspace_id, kind, filters).matched if filters is not None else 0
    query = urlencode({name: text for name, text in flask.request.args.items() if text and name != "cursor"})
    return layout.render(
        "bulk.html",
        call,
        action=kind,
        outcome=BULK_ACTIONS[kind].past,
        description=DESCRIPTIONS[kind],
        matched=matched,
        button=describe_button(kind, matched),
        is_final=kind in ("cancel", "discard", "resend"),
        fields=filter_forms.build_hidden_fields(filters) if filters else {},
        decisions=_build_decisions(call, filters) if filters is not None and kind == "retry" else [],
        chips=filter_forms.build_chips(form, None, layout.load_zone(call)),
        back_url=ensure_own_path(
            flask.request.args.get("next", ""), f"/executions?{query}" if query else "/executions"
        ),
    )


@dataclass(frozen=True)
class Decision:
    """An action on the messages of unknown outcome that a retry leaves out: its button, and the page that asks."""

    action: OperationKind
    button: str
    fields: Mapping[str, str]


def _build_decisions(call: Caller, filters: ExecutionFilters) -> list[Decision]:
    """The actions on messages of unknown outcome; none where none matches."""
    count = bulk.count_unknown(call.workspace_id, filters)
    fields = filter_forms.build_hidden_fields(replace(filters, outcome_unknown=True))
    return [Decision(kind, describe_button(kind, count), fields) for kind in DECISIONS] if count else []


def describe_button(kind: OperationKind, count: int) -> str:
    """The button of an action on so many executions or messages."""
    noun = "message" if kind in _OF_MESSAGES else "execution"
    return _BUTTONS[kind].format(n=f"{count:,} {noun}{'' if count == 1 else 's'}")


@bulk_pages.post("/executions/all/<action>")
def act(action: str) -> Any:
    """Run the action and report how many executions changed, or show the progress of a large one."""
    call = layout.require_page_permission("write")
    filters = filter_forms.build_filters(filter_forms.parse(flask.request.form), call)
    if filters is None:
        raise not_found("No execution can match this filter.")
    kind = _parse_action(action)
    row = bulk.start(call.workspace_id, kind, filters, call.actor)
    if row["status"] == "running" or row["conflict_count"]:
        return layout.redirect(f"/operations/{row['id']}")
    return layout.redirect(layout.read_next_path("/executions"), describe_result(row))


def describe_result(row: OperationRow) -> str:
    """How many executions an action has changed."""
    noun = "message" if row["kind"] in _OF_MESSAGES else "execution"
    return f"{row['done']:,} {noun}{'' if row['done'] == 1 else 's'} {BULK_ACTIONS[row['kind']].past}."


@bulk_pages.get("/operations/<operation_id>")
def show_operation(operation_id: str) -> Any:
    """The progress and the result of a bulk action."""
    call = layout.require_page_permission()
    row = operation.get(call.workspace_id, operation_id) if is_id(operation_id) else None
    if row is None:
        raise not_found("There is no operation with that id.")
    if row["kind"] == "import":
        return contact_import.render_operation(call, row)
    template = "operation_progress.html" if layout.is_fragment() else "operation.html"
    settled = row["done"] + row["conflict_count"]
    return layout.render(
        template,
        call,
        operation=row,
        result=describe_result(row),
        settled=settled,
        percent=100 if not row["matched"] else settled * 100 // row["matched"],
        button=describe_button(row["kind"], row["matched"]),
        chips=_describe_filters(row, layout.load_zone(call)),
        conflicts=row["conflicts"][:MAX_CONFLICTS],
        back_url="/failures" if row["filters"].get("failure") else "/executions",
    )


def _describe_filters(row: OperationRow, zone: ZoneInfo) -> list[str]:
    fields = {name: value for name, value in row["filters"].items() if name not in ("test", "stageTo")}
    form = filter_forms.parse(MultiDict({name: filter_forms.format_value(value) for name, value in fields.items()}))
    return list(filter_forms.build_texts(form, None, zone).values())
