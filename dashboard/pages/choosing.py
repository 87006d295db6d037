"""Which executions an address names: the filters of the API, and the few that only people use, as chips in the URL.

What a page shows and what a bulk action moves come from the same `Chosen`, so that they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import flask
from pydantic import Field

import clock
from dashboard.access import Caller
from dashboard.api import shapes
from dashboard.api.executions import Filters
from dashboard.bodies import ShortText, check
from dashboard.errors import invalid
from dashboard.pages import frame, words
from models.ids import is_id
from models.reports.filters import ExecutionFilters
from rules.errors import BY_CLASS

#: Spans of time as a person picks them, besides "today".
_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
TIMES = {"hour": "last hour", "today": "today", "day": "last 24 hours", "week": "last 7 days"}


class Chosen(Filters):
    """The filters of the address; `time` and `sent` are read against the workspace's clock."""

    time: Literal["hour", "today", "day", "week"] | None = None
    sent: Literal["today"] | None = None
    sent_since: shapes.Moment | None = Field(None, alias="sentFrom")
    outcome_unknown: shapes.QueryTruth | None = Field(None, alias="outcomeUnknown")
    in_flight: shapes.QueryTruth | None = Field(None, alias="inFlight")
    cursor: ShortText | None = None


@dataclass(frozen=True)
class Chip:
    """One filter that is on: its words, and the address without it."""

    text: str
    without: str


def read(given: Any) -> Chosen:
    """The filters in a query or a form; empty fields are none. Raises `Refusal` 422."""
    names = {field.alias or name for name, field in Chosen.model_fields.items()}
    chosen, problems = check(Chosen, {name: text for name, text in given.items() if text and name in names})
    if chosen is None:
        raise invalid(problems)
    return chosen


def filters(chosen: Chosen, call: Caller) -> ExecutionFilters | None:
    """The same for the reports, its times made absolute; None where nothing can match."""
    if chosen.matches_nothing():
        return None
    since = frame.midnight(call) if chosen.time == "today" else None
    if chosen.time in _SPANS:
        since = clock.now() - _SPANS[chosen.time]
    sent_since = shapes.moment_of(chosen.sent_since) if chosen.sent_since else None
    found = chosen.filters()
    return replace(
        found,
        since=_later(found.since, since),
        sent_since=_later(sent_since, frame.midnight(call) if chosen.sent else None),
        outcome_unknown=chosen.outcome_unknown,
        in_flight=chosen.in_flight,
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def fields(found: ExecutionFilters) -> dict[str, str]:
    """The filters as a form's hidden fields, read again by `read` as exactly the same."""
    return {name: _text(value) for name, value in found.as_json().items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def chips(chosen: Chosen, automation_name: str | None) -> list[Chip]:
    """A chip for each filter that is on."""
    given = {name: text for name, text in flask.request.args.items() if text and name != "cursor"}
    found = []
    for name, text in _texts(chosen, automation_name).items():
        rest = {other: value for other, value in given.items() if other != name}
        found.append(Chip(text, "/executions" + (f"?{urlencode(rest)}" if rest else "")))
    return found


def _texts(chosen: Chosen, automation_name: str | None) -> dict[str, str]:
    whose = {True: "tests only", False: "no tests"}
    held = {True: "outcome unknown", False: "outcome known"}
    read = {True: "to review", False: "nothing to review"}
    moving = {True: "in motion", False: "finished"}
    texts = {
        "q": chosen.q and f"“{chosen.q}”",
        "status": chosen.status and f"status {words.STATUSES[chosen.status].lower()}",
        "stage": chosen.stage and f"stage {words.STAGES[chosen.stage].lower()}",
        "automationId": chosen.automation_id and f"automation {automation_name or 'unknown'}",
        "contactId": chosen.contact_id and "one contact",
        "errorClass": chosen.error_class and f"error {_error_words(chosen.error_class)}",
        "test": chosen.test is not None and whose[bool(chosen.test)],
        "time": chosen.time and f"accepted {TIMES[chosen.time]}",
        "from": chosen.since and f"accepted from {chosen.since}",
        "to": chosen.until and f"accepted before {chosen.until}",
        "sent": chosen.sent and "sent today",
        "sentFrom": chosen.sent_since and f"sent from {chosen.sent_since}",
        "outcomeUnknown": chosen.outcome_unknown is not None and held[bool(chosen.outcome_unknown)],
        "inFlight": chosen.in_flight is not None and moving[bool(chosen.in_flight)],
        "review": chosen.review is not None and read[bool(chosen.review)],
    }
    return {name: text for name, text in texts.items() if text}


def _error_words(error_class: str) -> str:
    return words.ERRORS.get(error_class, error_class).lower() if error_class in BY_CLASS else error_class


def automation_id(chosen: Chosen) -> str | None:
    """The automation of the filter, if its id is one."""
    return chosen.automation_id if chosen.automation_id and is_id(chosen.automation_id) else None
