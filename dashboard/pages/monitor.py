"""The live monitor page: a complete snapshot without a script, kept live by the event stream with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from dashboard.api.automations import require_automation
from dashboard.api.schemas import QueryBool
from dashboard.bodies import Body
from dashboard.errors import not_found
from dashboard.live import snapshot
from dashboard.pages import layout
from rules.language import PLAYBOOK

monitor_pages = flask.Blueprint("monitor-pages", __name__)

#: The size of a stage's trend line, in SVG units.
TREND_WIDTH, TREND_HEIGHT = 92.0, 18.0


class MonitorFilterForm(Body):
    """The filters in the query: one stage, and only tests or no tests."""

    stage: str | None = None
    test: QueryBool | None = None


@monitor_pages.get("/automations/<automation_id>/monitor")
def show(automation_id: str) -> Any:
    """The stage of each contact; a playbook has none, and its own page is live."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(MonitorFilterForm)
    if require_automation(call.workspace_id, automation_id)["type"] == PLAYBOOK:
        return layout.redirect(
            f"/automations/{automation_id}", "A playbook messages no contacts. Its executions are here."
        )
    monitor_snapshot = snapshot.read((call.workspace_id, automation_id, form.test))
    if monitor_snapshot is None:
        raise not_found("There is no automation with that id.")
    contacts = [contact for contact in monitor_snapshot["contacts"] if form.stage in (None, contact["stage"])]
    return layout.render("monitor.html", call, snapshot=monitor_snapshot, listed=contacts, filters=form)


@monitor_pages.app_template_filter("elapsed")
def format_elapsed(seconds: int) -> str:
    """`0:08`, `12:33`, `1:02:03`, `2 d 4 h`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@monitor_pages.app_template_filter("initials")
def format_initials(name: str) -> str:
    """`AB` for Ada Byron."""
    return "".join(word[0] for word in name.split()[:2]).upper()


@monitor_pages.app_template_filter("trend")
def format_trend(points: Sequence[int]) -> str:
    """The points of an SVG polyline: the maximum at the top, zero at the bottom."""
    top = max([*points, 1])
    step = TREND_WIDTH / max(1, len(points) - 1)
    return " ".join(
        f"{number * step:.1f},{TREND_HEIGHT - 1 - (TREND_HEIGHT - 2) * point / top:.1f}"
        for number, point in enumerate(points)
    )
