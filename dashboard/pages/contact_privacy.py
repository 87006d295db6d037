"""What a contact may ask for: a download of everything that is kept of it, and its erasure."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.api.contact_privacy import respond_with_export
from dashboard.errors import not_found
from dashboard.pages import forms, labels, layout
from models import contact
from models.errors import Conflict
from models.ids import is_id
from models.reports import contacts as report
from tasks.operators.contacts import erase_contact

contact_privacy_pages = flask.Blueprint("contact-privacy-pages", __name__)

#: What an owner types to confirm an erasure.
CONFIRMATION = "ERASE"
#: The kinds of erased rows that the notice counts.
_COUNTED = {"messages": "messages sent", "receivedMessages": "messages received", "executions": "executions"}


@contact_privacy_pages.get("/contacts/<contact_id>/export")
def export(contact_id: str) -> Any:
    """Download everything that is kept of a contact as JSON."""
    call = layout.require_page_permission("write")
    if not is_id(contact_id):
        raise not_found("There is no contact with that id.")
    return respond_with_export(call, contact_id)


@contact_privacy_pages.get("/contacts/<contact_id>/erase")
def ask_to_erase(contact_id: str) -> Any:
    """Ask for confirmation, with the number of active executions."""
    return _render_question(contact_id)


@contact_privacy_pages.post("/contacts/<contact_id>/erase")
def erase(contact_id: str) -> Any:
    """Erase a contact, once the confirmation is typed."""
    call = layout.require_page_permission("admin")
    row = contact.get(call.workspace_id, contact_id) if is_id(contact_id) else None
    if row is None:
        raise not_found("There is no contact with that id.")
    if forms.read_field("confirmation").strip().upper() != CONFIRMATION:
        return _render_question(contact_id, f"Type {CONFIRMATION} to confirm."), 422
    try:
        result = erase_contact(call.workspace_id, row["id"], call.actor)
    except Conflict as conflict:
        return layout.redirect(f"/contacts/{row['id']}", conflict.message, bad=True)
    counts = ", ".join(f"{result.erased[kind]:,} {noun}" for kind, noun in _COUNTED.items())
    notice = f"Contact erased: {counts}. Active executions cancelled: {result.cancelled}."
    return layout.redirect("/contacts", notice)


def _render_question(contact_id: str, problem: str | None = None) -> flask.Response:
    call = layout.require_page_permission("admin")
    row = contact.get(call.workspace_id, contact_id) if is_id(contact_id) else None
    if row is None:
        raise not_found("There is no contact with that id.")
    return layout.render(
        "erase_contact.html", call, contact=row, problem=problem, confirmation=CONFIRMATION,
        name=labels.format_contact_name(row), in_flight=report.count_in_flight(call.workspace_id, row["id"]),
    )  # fmt: skip
