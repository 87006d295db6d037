"""One automation: its numbers, its runs as a chart and as a list, and its versions."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller, settings
from dashboard.api.automations import automation_of
from dashboard.api.runs import USUAL, RunPage, paged_runs
from dashboard.pages import frame
from dashboard.pages.chart import HEIGHT, WIDTH, bars
from models.database import Row
from models.reports import runs
from tasks import switches

one_automation_pages = flask.Blueprint("one-automation-pages", __name__)

#: Runs on one page.
PAGE_SIZE = 30


class Shown(RunPage):
    """Which runs the address names, and how the chart counts them."""

    by: Literal["hour", "day"] = "day"


@one_automation_pages.get("/automations/<automation_id>")
def show(automation_id: str) -> Any:
    """The page."""
    call = frame.visitor()
    found = automation_of(call.workspace_id, automation_id)
    chosen, given = frame.asked(Shown)
    return frame.render("automation.html", call, automation=found, chosen=chosen, **_runs(call, found, chosen, given))


def _runs(call: Caller, found: Row, chosen: Shown, given: dict[str, str]) -> dict[str, Any]:
    automation_id, until = found["id"], clock.now()
    series = runs.series(
        call.workspace_id, automation_id, chosen.by, until - USUAL[chosen.by], until, chosen.kind
    )  # fmt: skip
    listed, cursor = paged_runs(call.workspace_id, automation_id, chosen, PAGE_SIZE)
    day = runs.last_day(call.workspace_id, [automation_id])[automation_id]

    def address(**changed: str) -> str:
        query = {name: text for name, text in {**given, "cursor": "", **changed}.items() if text}
        return f"/automations/{automation_id}" + (f"?{urlencode(query)}" if query else "")

    return {
        "series": series,
        "bars": bars(series),
        "width": WIDTH,
        "height": HEIGHT,
        "runs": listed,
        "day": day,
        "address": address,
        "older": cursor and address(cursor=cursor),
        "newest": chosen.cursor and address(),
        "tracked": switches.is_on(settings(), call.workspace_id, "run_tracking"),
    }
