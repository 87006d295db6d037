"""The messages that may be opt-outs: read, and suppressed or dismissed by an operator."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import flask

from dashboard.api.possible_opt_outs import PossibleOptOutPage
from dashboard.errors import not_found
from dashboard.pages import labels, layout
from dashboard.responses import fetch_page, parse_row_cursor
from models import possible_opt_out
from models.errors import Conflict
from models.ids import is_id
from models.tables.contacts import OptOutResolution

possible_opt_out_pages = flask.Blueprint("possible-opt-out-pages", __name__)

PATH = "/suppressions/possible"
#: Messages on one page.
PAGE_SIZE = 50


@possible_opt_out_pages.get(PATH)
def show() -> Any:
    """The list, newest first: those that nobody has judged, or the resolved ones."""
    call = layout.require_page_permission()
    query, params = layout.parse_query(PossibleOptOutPage)
    before, is_resolved = parse_row_cursor(params.pop("cursor", None)), query.status == "resolved"
    rows, cursor = fetch_page(
        lambda limit: possible_opt_out.fetch_page(call.workspace_id, limit, before, is_resolved=is_resolved), PAGE_SIZE
    )
    return layout.render(
        "possible_opt_outs.html",
        call,
        rows=[{**row, "name": labels.format_contact_name(row)} for row in rows],
        is_resolved=is_resolved,
        older=cursor and f"{PATH}?{urlencode({'status': query.status, 'cursor': cursor})}",
    )


@possible_opt_out_pages.post(f"{PATH}/<possible_opt_out_id>/<any(suppress, dismiss):decision>")
def resolve(possible_opt_out_id: str, decision: OptOutResolution) -> Any:
    """Suppress the contact of a message on its channel, or dismiss the message."""
    call = layout.require_page_permission("write")
    if not is_id(possible_opt_out_id):
        raise not_found("There is no possible opt-out with that id.")
    try:
        row = possible_opt_out.resolve(call.workspace_id, possible_opt_out_id, decision, call.actor)
    except Conflict as conflict:
        return layout.redirect(PATH, conflict.message, bad=True)
    channel = labels.CHANNELS[row["channel"]]
    return layout.redirect(PATH, f"{channel} suppressed." if decision == "suppress" else "Message dismissed.")
