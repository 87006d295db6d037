"""The list of contacts: filters in the address, one line for each, older ones by keyset; and the form for a new one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller
from dashboard.answers import paged, row_id_of
from dashboard.api.contacts import Channel
from dashboard.bodies import Body, ShortText
from dashboard.pages import contact_fields, frame, words
from dashboard.pages.choosing import Chip
from models import audit, contact, contact_matching
from models.contact_matching import ContactRefused
from models.database import acting_as
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from rules.contacts import normalise
from rules.problems import Problem

contacts_pages = flask.Blueprint("contacts-pages", __name__)

#: Contacts on one page.
PAGE_SIZE = 50
_SPANS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
TIMES = {"today": "today", "day": "last 24 hours", "week": "last 7 days", "month": "last 30 days"}


class Chosen(Body):
    """Which contacts the address names; `time` is when they were made."""

    q: ShortText | None = None
    tag: ShortText | None = None
    suppressed: Channel | Literal["any"] | None = None
    time: Literal["today", "day", "week", "month"] | None = None
    cursor: ShortText | None = None


@contacts_pages.get("/contacts")
def show() -> Any:
    """The list, newest first."""
    call = frame.visitor()
    chosen, query = frame.asked(Chosen)
    before = row_id_of(query.pop("cursor", None))
    filters = ContactFilters(chosen.q, chosen.tag, chosen.suppressed, _since(chosen, call))
    found, cursor = paged(lambda limit: report.page(call.workspace_id, filters, limit=limit, before=before), PAGE_SIZE)
    return frame.render(
        "contacts.html",
        call,
        contacts=found,
        chosen=chosen,
        chips=_chips(chosen, query),
        times=TIMES,
        channels=_channels(),
        older=cursor and _address({**query, "cursor": cursor}),
        newest=_address(query) if chosen.cursor else None,
    )


def _since(chosen: Chosen, call: Caller) -> Any:
    if chosen.time is None:
        return None
    return frame.midnight(call) if chosen.time == "today" else clock.now() - _SPANS[chosen.time]


def _channels() -> dict[str, str]:
    return {"any": "Any channel", **{one: words.CHANNELS[one] for one in ("email", "sms", "facebook", "instagram")}}


def _address(query: dict[str, str]) -> str:
    return "/contacts" + (f"?{urlencode(query)}" if query else "")


def _chips(chosen: Chosen, query: dict[str, str]) -> list[Chip]:
    texts = {
        "q": chosen.q and f"“{chosen.q}”",
        "tag": chosen.tag and f"tag {chosen.tag}",
        "suppressed": chosen.suppressed and f"suppressed on {_channels()[chosen.suppressed].lower()}",
        "time": chosen.time and f"new {TIMES[chosen.time]}",
    }
    return [
        Chip(text, _address({other: value for other, value in query.items() if other != name}))
        for name, text in texts.items()
        if text
    ]


@contacts_pages.get("/contacts/new")
def ask() -> Any:
    """The form for a new contact."""
    return _form(frame.visitor("write"), contact_fields.texts(None), [])


def _form(call: Caller, texts: dict[str, str], problems: list[Problem], other: str | None = None) -> Any:
    return frame.render(
        "new_contact.html", call, texts=texts, fields=contact_fields.FIELDS, lines=contact_fields.lines(texts),
        problems=problems, other=other,
    )  # fmt: skip


class _Known(Exception):
    """These addresses are a contact's already; nothing was written."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(contact_id)
        self.contact_id = contact_id


@contacts_pages.post("/contacts/new")
def make() -> Any:
    """Make a contact; one that is there already is named and left as it is."""
    call = frame.visitor("write")
    texts, problems = contact_fields.given(flask.request.form)
    fields, wrong = normalise(contact_fields.changes(texts, {}, []))
    problems += wrong
    if not problems and not any(fields.values()):
        problems.append(Problem("", "Fill in at least one field."))
    if problems:
        return _form(call, texts, problems), 422
    try:
        made = _make(call, fields)
    except _Known as known:
        return _form(call, texts, [Problem("", "A contact with one of these addresses is here already.")],
                     known.contact_id), 409  # fmt: skip
    if isinstance(made, ContactRefused):
        return _form(call, texts, [Problem(made.path.removeprefix("contact."), made.message)]), made.status
    return frame.go(f"/contacts/{made}", "The contact is here. Triggers with one of its addresses find it.")


def _make(call: Caller, fields: dict[str, Any]) -> str | ContactRefused:
    with acting_as(call.workspace_id):
        (saved,) = contact_matching.match(call.workspace_id, [(None, fields)])
        if isinstance(saved, ContactRefused):
            return saved
        assert saved is not None
        contact_id = str(saved["id"])
        if not contact.is_just_made(contact_id):
            # Leaving the transaction by an error takes back what the match changed.
            raise _Known(contact_id)
        audit.record(
            call.workspace_id, call.actor, "contact.created", "contact", contact_id, {"fields": sorted(fields)}
        )
    return contact_id
