"""The filters of the execution pages: those of the API and some of the pages only, shown as chips.

A list and a bulk action use the same `ExecutionFilterForm`, so that they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import flask
from pydantic import Field

import clock
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.executions import Filters
from dashboard.bodies import ShortText, check
from dashboard.errors import invalid_request
from dashboard.pages import labels, layout
from models.execution_filters import ExecutionFilters
from models.ids import is_id
from rules.errors import BY_CLASS

#: The time filters besides "today".
_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
TIMES = {"hour": "last hour", "today": "today", "day": "last 24 hours", "week": "last 7 days"}


#: A pause by kind and name.
HeldBy = Annotated[str, Field(max_length=80, pattern=r"^(provider|queue):[a-z_]+$")]


class ExecutionFilterForm(Filters):
    """The filters in the query; `time` and `sent` use the workspace's time zone."""

    time: Literal["hour", "today", "day", "week"] | None = None
    sent: Literal["today"] | None = None
    sent_since: schemas.Moment | None = Field(None, alias="sentFrom")
    outcome_unknown: schemas.QueryBool | None = Field(None, alias="outcomeUnknown")
    sent_until: schemas.Moment | None = Field(None, alias="sentTo")
    finished_since: schemas.Moment | None = Field(None, alias="finishedFrom")
    finished_until: schemas.Moment | None = Field(None, alias="finishedTo")
    in_flight: schemas.QueryBool | None = Field(None, alias="inFlight")
    stuck: schemas.QueryBool | None = None
    held_by: HeldBy | None = Field(None, alias="heldBy")
    stage_until: schemas.Moment | None = Field(None, alias="stageTo")
    cursor: ShortText | None = None


@dataclass(frozen=True)
class Chip:
    """One active filter: its text, and the URL without it."""

    text: str
    without: str


def parse(values: Any) -> ExecutionFilterForm:
    """The filters in a query or a form; empty fields are left out. Raises `ProblemError` 422."""
    names = {field.alias or name for name, field in ExecutionFilterForm.model_fields.items()}
    fields = {name: text for name, text in values.items() if text and name in names}
    if "ids" in fields:
        # A form sends one field for each selected row.
        fields["ids"] = ",".join(values.getlist("ids"))
    form, problems = check(ExecutionFilterForm, fields)
    if form is None:
        raise invalid_request(problems)
    return form


def build_filters(form: ExecutionFilterForm, call: Caller) -> ExecutionFilters | None:
    """The filters for the reports, with absolute times; None where no execution can match."""
    if form.matches_nothing():
        return None
    since = layout.start_of_day(call) if form.time == "today" else None
    if form.time in _SPANS:
        since = clock.now() - _SPANS[form.time]
    sent_since = _parse_moment(form.sent_since)
    filters = form.to_filters()
    return replace(
        filters,
        since=_find_latest(filters.since, since),
        sent_since=_find_latest(sent_since, layout.start_of_day(call) if form.sent else None),
        sent_until=_parse_moment(form.sent_until),
        finished_since=_parse_moment(form.finished_since),
        finished_until=_parse_moment(form.finished_until),
        stuck=bool(form.stuck),
        held_by=form.held_by,
        outcome_unknown=form.outcome_unknown,
        in_flight=form.in_flight,
        stage_until=_parse_moment(form.stage_until),
    )


def _parse_moment(text: str | None) -> datetime | None:
    return schemas.parse_moment(text) if text else None


def _find_latest(first: datetime | None, second: datetime | None) -> datetime | None:
    return max(first, second) if first and second else first or second


def build_hidden_fields(filters: ExecutionFilters) -> dict[str, str]:
    """The filters as hidden form fields, which `parse` reads back unchanged."""
    return {name: format_value(value) for name, value in filters.as_json().items()}


def format_value(value: object) -> str:
    """A filter as the text of a form field."""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def build_chips(
    form: ExecutionFilterForm, automation_name: str | None, zone: ZoneInfo, base_path: str = "/executions"
) -> list[Chip]:
    """A chip for each active filter; `base_path` is the page of the list."""
    params = {name: text for name, text in flask.request.args.items() if text and name != "cursor"}
    chips = []
    for name, text in build_texts(form, automation_name, zone).items():
        remaining = {other: value for other, value in params.items() if other != name}
        chips.append(Chip(text, base_path + (f"?{urlencode(remaining)}" if remaining else "")))
    return chips


def build_texts(form: ExecutionFilterForm, automation_name: str | None, zone: ZoneInfo) -> dict[str, str]:
    """The active filters in words, by field, with times in the zone of the page."""
    test_texts = {True: "tests only", False: "without tests"}
    outcome_texts = {True: "outcome unknown", False: "outcome known"}
    review_texts = {True: "needs approval", False: "no approval needed"}
    in_flight_texts = {True: "active", False: "finished"}
    texts = {
        "q": form.q and f"“{form.q}”",
        "status": form.status and f"status {labels.STATUSES[form.status].lower()}",
        "stage": form.stage and f"stage {labels.STAGES[form.stage].lower()}",
        "automationId": form.automation_id and f"automation {automation_name or 'unknown'}",
        "contactId": form.contact_id and "one contact",
        "errorClass": form.error_class and f"error {_format_error_class(form.error_class)}",
        "test": form.test is not None and test_texts[bool(form.test)],
        "time": form.time and f"accepted {TIMES[form.time]}",
        "from": form.since and f"accepted from {_format_moment(form.since, zone)}",
        "to": form.until and f"accepted before {_format_moment(form.until, zone)}",
        "sent": form.sent and "sent today",
        "sentFrom": form.sent_since and f"sent from {_format_moment(form.sent_since, zone)}",
        "sentTo": form.sent_until and f"sent before {_format_moment(form.sent_until, zone)}",
        "finishedFrom": form.finished_since and f"finished from {_format_moment(form.finished_since, zone)}",
        "finishedTo": form.finished_until and f"finished before {_format_moment(form.finished_until, zone)}",
        "stuck": form.stuck and "stuck",
        "heldBy": form.held_by and f"waiting for {_format_pause(form.held_by)}",
        "outcomeUnknown": form.outcome_unknown is not None and outcome_texts[bool(form.outcome_unknown)],
        "inFlight": form.in_flight is not None and in_flight_texts[bool(form.in_flight)],
        "review": form.review is not None and review_texts[bool(form.review)],
        "provider": form.provider and f"provider {labels.PROVIDERS.get(form.provider, form.provider)}",
        "code": form.code and f"code {form.code}",
        "waitingFor": form.waiting_for and f"waiting for {labels.WAITS.get(form.waiting_for, form.waiting_for)}",
        "ids": form.ids and f"{len(form.ids)} selected",
        "failure": form.failure and labels.FAILURES[form.failure].lower(),
        "stageTo": form.stage_until and f"at this stage since before {_format_moment(form.stage_until, zone)}",
    }
    return {name: text for name, text in texts.items() if text}


def _format_moment(text: str, zone: ZoneInfo) -> str:
    moment = _parse_moment(text)
    return f"{moment.astimezone(zone):%-d %b %H:%M}" if moment else text


def _format_pause(pause: str) -> str:
    kind, _, name = pause.partition(":")
    return labels.PROVIDERS.get(name, name) if kind == "provider" else f"queue {name}"


def _format_error_class(error_class: str) -> str:
    return labels.ERRORS.get(error_class, error_class).lower() if error_class in BY_CLASS else error_class


def find_automation_id(form: ExecutionFilterForm) -> str | None:
    """The automation id in the filter, where it is a valid id."""
    return form.automation_id if form.automation_id and is_id(form.automation_id) else None
