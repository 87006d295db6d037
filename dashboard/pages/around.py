"""What belongs to no single page: the summary bar by itself, the theme, ends of pauses, words in templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import flask

from dashboard import csrf
from dashboard.access import COOKIE, settings, signed_in
from dashboard.errors import not_there
from dashboard.pages import frame
from models import pause
from models.database import acting_as
from tasks import operators

around_pages = flask.Blueprint("around-pages", __name__)


@around_pages.get("/summary")
def show_summary() -> Any:
    """The summary bar, as every page refreshes it."""
    call = frame.visitor()
    return frame.render("summary.html", call)


@around_pages.post("/pauses/<any(provider, queue):kind>/<name>/end")
def end_pause(kind: str, name: str) -> Any:
    """End a pause that the summary bar tells of."""
    call = frame.visitor("write")
    with acting_as(call.workspace_id):
        held = {(one["kind"], one["name"]) for one in pause.every(call.workspace_id)}
    if (kind, name) not in held:
        raise not_there("That is not held any more.")
    woken = operators.let_go(kind, name, call.workspace_id, call.actor)
    goes_on = f"{woken} execution{' goes' if woken == 1 else 's go'} on" if woken else "nothing waited for it"
    return frame.go(frame.back("/executions"), f"It is tried again: {goes_on}.")


@around_pages.post("/theme")
def switch_theme() -> Any:
    """Light, dark, or as the system says."""
    if signed_in() is not None:
        csrf.check(settings().secret_key, flask.request.cookies[COOKIE], settings().url)
    answer = frame.go(frame.back("/"))
    frame.remember_theme(answer, flask.request.form.get("theme", ""))
    return answer


@around_pages.app_context_processor
def look() -> dict[str, Any]:
    """The theme, in every template."""
    return {"theme": frame.theme()}


@around_pages.app_template_filter("exact")
def exact(moment: datetime, zone: ZoneInfo) -> str:
    """The moment with its zone: `2026-11-21 14:02:11.204 Europe/Rome`."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {zone.key}"


@around_pages.app_template_filter("clock")
def clock_time(moment: datetime, zone: ZoneInfo) -> str:
    """The time of day to the millisecond: `14:02:11.204`."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
