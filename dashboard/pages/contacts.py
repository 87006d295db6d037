"""The list of contacts, filtered by the query and paged by keyset, and the form for a new contact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller
from dashboard.api.contacts import Channel
from dashboard.bodies import Body, ShortText
from dashboard.pages import contact_fields, labels, layout
from dashboard.pages.filter_forms import Chip
from dashboard.responses import fetch_page, parse_row_cursor
from models import audit, contact, contact_matching
from models.contact_matching import ContactRejection
from models.database import acting_as
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from rules.channels import CONTACT_CHANNELS
from rules.contacts import normalise
from rules.problems import Problem

contacts_pages = flask.Blueprint("contacts-pages", __name__)

#: Contacts on one page.
PAGE_SIZE = 50
_SPANS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
TIMES = {"today": "today", "day": "last 24 hours", "week": "last 7 days", "month": "last 30 days"}


class ContactFilterForm(Body):
    """The filters in the query; `time` is the time of creation."""

    q: ShortText | None = None
    tag: ShortText | None = None
    suppressed: Channel | Literal["any"] | None = None
    time: Literal["today", "day", "week", "month"] | None = None
    cursor: ShortText | None = None


@contacts_pages.get("/contacts")
def show() -> Any:
    """The list, newest first."""
    call = layout.require_page_permission()
    form, params = layout.parse_query(ContactFilterForm)
    before = parse_row_cursor(params.pop("cursor", None))
    filters = ContactFilters(form.q, form.tag, form.suppressed, _compute_since(form, call))
    rows, cursor = fetch_page(
        lambda limit: report.fetch_page(call.workspace_id, filters, limit=limit, before=before), PAGE_SIZE
    )
    return layout.render(
        "contacts.html",
        call,
        contacts=rows,
        filters=form,
        chips=_build_chips(form, params),
        times=TIMES,
        channels=_build_channel_options(),
        older=cursor and _build_address({**params, "cursor": cursor}),
        newest=_build_address(params) if form.cursor else None,
    )


def _compute_since(form: ContactFilterForm, call: Caller) -> Any:
    if form.time is None:
        return None
    return layout.start_of_day(call) if form.time == "today" else clock.now() - _SPANS[form.time]


def _build_channel_options() -> dict[str, str]:
    return {
        "any": "Any channel",
        **{channel: labels.CHANNELS[channel] for channel in CONTACT_CHANNELS},
    }


def _build_address(params: dict[str, str]) -> str:
    return "/contacts" + (f"?{urlencode(params)}" if params else "")


def _build_chips(form: ContactFilterForm, params: dict[str, str]) -> list[Chip]:
    texts = {
        "q": form.q and f"“{form.q}”",
        "tag": form.tag and f"tag {form.tag}",
        "suppressed": form.suppressed and f"suppressed on {_build_channel_options()[form.suppressed].lower()}",
        "time": form.time and f"created {TIMES[form.time]}",
    }
    return [
        Chip(text, _build_address({other: value for other, value in params.items() if other != name}))
        for name, text in texts.items()
        if text
    ]


@contacts_pages.get("/contacts/new")
def show_form() -> Any:
    """The form for a new contact."""
    return _render_form(layout.require_page_permission("write"), contact_fields.build_texts(None), [])


def _render_form(call: Caller, texts: dict[str, str], problems: list[Problem], existing_id: str | None = None) -> Any:
    return layout.render(
        "new_contact.html", call, texts=texts, fields=contact_fields.FIELDS,
        lines=contact_fields.build_attribute_lines(texts), problems=problems, existing_id=existing_id,
    )  # fmt: skip


class _ContactExists(Exception):
    """An existing contact has one of these addresses; nothing was written."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(contact_id)
        self.contact_id = contact_id


@contacts_pages.post("/contacts/new")
def create() -> Any:
    """Create a contact. An existing contact with one of the addresses is linked and not changed."""
    call = layout.require_page_permission("write")
    texts, problems = contact_fields.parse_form(flask.request.form)
    fields, field_problems = normalise(contact_fields.find_changes(texts, {}, []))
    problems += field_problems
    if not problems and not any(fields.values()):
        problems.append(Problem("", "Fill in at least one field."))
    if problems:
        return _render_form(call, texts, problems), 422
    try:
        result = _create(call, fields)
    except _ContactExists as existing:
        return _render_form(call, texts, [Problem("", "A contact with one of these addresses already exists.")],
                     existing.contact_id), 409  # fmt: skip
    if isinstance(result, ContactRejection):
        return _render_form(call, texts, [Problem(result.path.removeprefix("contact."), result.message)]), result.status
    return layout.redirect(f"/contacts/{result}", "Contact created. Triggers with one of its addresses match it.")


def _create(call: Caller, fields: dict[str, Any]) -> str | ContactRejection:
    with acting_as(call.workspace_id):
        (saved,) = contact_matching.match_or_create(call.workspace_id, [(None, fields)])
        if isinstance(saved, ContactRejection):
            return saved
        assert saved is not None
        contact_id = saved["id"]
        if not contact.is_newly_created(contact_id):
            # The error rolls back what the match changed.
            raise _ContactExists(contact_id)
        detail = {"fields": sorted(fields), "after": fields}
        audit.record(call.workspace_id, call.actor, "contact.created", "contact", contact_id, detail)
    return contact_id
