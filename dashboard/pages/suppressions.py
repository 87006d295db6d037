"""The list of suppressed addresses, filtered by the query and paged by keyset; adding, lifting and importing them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import flask

from dashboard.access import Caller
from dashboard.api.suppressions import (
    LiftedAddressBody,
    SuppressedAddressBody,
    SuppressionFilterQuery,
    download,
    import_file,
)
from dashboard.bodies import Body, ShortText, check
from dashboard.errors import ProblemError
from dashboard.pages import labels, layout
from dashboard.pages.filter_forms import Chip
from dashboard.responses import fetch_page, parse_row_cursor
from models import suppression
from models.errors import Conflict, NotFound
from models.reports import suppressions as report
from rules.channels import CONTACT_CHANNELS
from rules.problems import Problem
from rules.suppression_file import MAX_ROWS, REASONS

suppression_pages = flask.Blueprint("suppression-pages", __name__)

#: Addresses on one page.
PAGE_SIZE = 50


class SuppressionFilterForm(SuppressionFilterQuery):
    """The filters in the query."""

    cursor: ShortText | None = None


class LiftQuery(Body):
    """The address to lift, filled in by the list."""

    channel: ShortText | None = None
    address: ShortText | None = None
    topic: ShortText | None = None


@suppression_pages.get("/suppressions")
def show() -> Any:
    """The list, newest first."""
    call = layout.require_page_permission()
    form, params = layout.parse_query(SuppressionFilterForm)
    before = parse_row_cursor(params.pop("cursor", None))
    rows, cursor = fetch_page(
        lambda limit: report.fetch_page(call.workspace_id, form.to_filters(), limit, before), PAGE_SIZE
    )
    return layout.render(
        "suppressions.html",
        call,
        rows=rows,
        filters=form,
        chips=_build_chips(form, params),
        channels=_list_channels(),
        older=cursor and _build_address({**params, "cursor": cursor}),
        newest=_build_address(params) if form.cursor else None,
        export="/suppressions/export" + (f"?{urlencode(params)}" if params else ""),
    )


def _list_channels() -> dict[str, str]:
    return {channel: labels.CHANNELS[channel] for channel in CONTACT_CHANNELS}


def _build_address(params: dict[str, str]) -> str:
    return "/suppressions" + (f"?{urlencode(params)}" if params else "")


def _build_chips(form: SuppressionFilterForm, params: dict[str, str]) -> list[Chip]:
    texts = {
        "q": form.q and f"“{form.q}”",
        "channel": form.channel and labels.CHANNELS[form.channel],
        "reason": form.reason and labels.SUPPRESSED[form.reason],
        "topic": form.topic and f"topic {form.topic}",
    }
    return [
        Chip(text, _build_address({other: value for other, value in params.items() if other != name}))
        for name, text in texts.items()
        if text
    ]


@suppression_pages.get("/suppressions/new")
def show_form() -> Any:
    """The form for an address to suppress."""
    return _render_form(layout.require_page_permission("write"), {}, [])


@suppression_pages.post("/suppressions/new")
def add() -> Any:
    """Suppress an address."""
    call = layout.require_page_permission("write")
    texts = _read_form()
    body, problems = check(SuppressedAddressBody, texts)
    if body is None:
        return _render_form(call, texts, problems), 422
    try:
        suppression.add_address(call.workspace_id, body.to_entry(), call.actor)
    except ProblemError as error:
        return _render_form(call, texts, list(error.problems)), error.status
    except Conflict as conflict:
        return _render_form(call, texts, [Problem("address", conflict.message)]), 409
    return layout.redirect("/suppressions", "Address suppressed.")


def _read_form() -> dict[str, str]:
    """The filled fields of a form about one address."""
    form = flask.request.form
    names = ("channel", "address", "reason", "topic")
    return {name: form[name].strip() for name in names if form.get(name, "").strip()}


def _render_form(call: Caller, texts: dict[str, str], problems: list[Problem]) -> Any:
    return layout.render(
        "new_suppression.html", call, texts=texts, problems=problems, channels=_list_channels(), reasons=REASONS
    )


@suppression_pages.get("/suppressions/lift")
def ask_to_lift() -> Any:
    """The form for the address whose suppressions are lifted; it asks for the reason."""
    call = layout.require_page_permission("write")
    _, params = layout.parse_query(LiftQuery)
    return _render_lift(call, params, [])


@suppression_pages.post("/suppressions/lift")
def lift() -> Any:
    """Lift every suppression of an address on a channel."""
    call = layout.require_page_permission("write")
    texts = _read_form()
    body, problems = check(LiftedAddressBody, texts)
    if body is None:
        return _render_lift(call, texts, problems), 422
    try:
        body.lift(call)
    except ProblemError as error:
        return _render_lift(call, texts, list(error.problems)), error.status
    except (NotFound, Conflict) as refused:
        status = 404 if isinstance(refused, NotFound) else 409
        return _render_lift(call, texts, [Problem("address", refused.message)]), status
    return layout.redirect("/suppressions", "Suppression lifted.")


def _render_lift(call: Caller, texts: dict[str, str], problems: list[Problem]) -> Any:
    return layout.render("lift_suppression.html", call, texts=texts, problems=problems, channels=_list_channels())


@suppression_pages.get("/suppressions/import")
def show_import() -> Any:
    """The form for a CSV file."""
    return _render_import(layout.require_page_permission("write"))


@suppression_pages.post("/suppressions/import")
def import_csv() -> Any:
    """Suppress the addresses of a CSV file, and show the result."""
    call = layout.require_page_permission("write")
    text = flask.request.form.get("csv", "").replace("\r\n", "\n")
    try:
        return _render_import(call, result=import_file(call, text))
    except ProblemError as error:
        return _render_import(call, text=text, problems=list(error.problems)), error.status, error.headers


def _render_import(call: Caller, **context: Any) -> Any:
    return layout.render("import_suppressions.html", call, max_rows=MAX_ROWS, **context)


@suppression_pages.get("/suppressions/export")
def export() -> Any:
    """The addresses that match the filters as CSV."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(SuppressionFilterForm)
    return download(call, form.to_filters())
