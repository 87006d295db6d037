"""Merging a contact into another: find the other one, compare both, and confirm."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import Caller
from dashboard.errors import not_found
from dashboard.pages import forms, labels, layout
from models import contact
from models.contact import ContactDetailRow
from models.errors import Conflict, NotFound
from models.ids import is_id
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from tasks.operators.contacts import merge_contacts

contact_merge_pages = flask.Blueprint("contact-merge-pages", __name__)

#: Contacts that a search lists.
MAX_CHOICES = 10


@contact_merge_pages.get("/contacts/<contact_id>/merge")
def ask(contact_id: str) -> Any:
    """Search for the contact that stays; with `into`, compare both and ask for confirmation."""
    call = layout.require_page_permission("write")
    return _render(call, _require_contact(call, contact_id), flask.request.args.get("into", ""))


@contact_merge_pages.post("/contacts/<contact_id>/merge")
def merge(contact_id: str) -> Any:
    """Merge the contact into the chosen one."""
    call = layout.require_page_permission("write")
    row, into = _require_contact(call, contact_id), forms.read_field("into").strip().lower()
    if not is_id(into):
        return _render(call, row, "", "Choose the contact that stays."), 422
    try:
        result = merge_contacts(call.workspace_id, row["id"], into, call.actor)
    except (NotFound, Conflict) as refused:
        return _render(call, row, "", refused.message), 404 if isinstance(refused, NotFound) else 409
    moved = f"{result.executions:,} execution{'' if result.executions == 1 else 's'}"
    cancelled = f", {result.cancelled} of them cancelled" if result.cancelled else ""
    return layout.redirect(f"/contacts/{into}", f"Contacts merged: {moved} moved{cancelled}.")


def _require_contact(call: Caller, contact_id: str) -> ContactDetailRow:
    row = contact.get(call.workspace_id, contact_id) if is_id(contact_id) else None
    if row is None:
        raise not_found("There is no contact with that id.")
    return row


def _render(call: Caller, row: ContactDetailRow, into: str, problem: str | None = None) -> flask.Response:
    target = contact.get(call.workspace_id, into) if is_id(into) and into != row["id"] else None
    q = flask.request.args.get("q", "").strip()
    matches = report.fetch_page(call.workspace_id, ContactFilters(q=q), limit=MAX_CHOICES + 1) if q else []
    return layout.render(
        "merge_contact.html", call, contact=row, target=target, problem=problem, q=q,
        choices=[choice for choice in matches if choice["id"] != row["id"]][:MAX_CHOICES],
        names={choice["id"]: labels.format_contact_name(choice) for choice in (row, target, *matches) if choice},
    )  # fmt: skip
