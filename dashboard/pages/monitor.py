"""The live monitor as a page: whole without a script, as a snapshot; kept live by the stream where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from dashboard.api.schemas import QueryBool
from dashboard.bodies import Body
from dashboard.errors import not_found
from dashboard.live import snapshot
from dashboard.pages import layout
from models.ids import is_id

monitor_pages = flask.Blueprint("monitor-pages", __name__)

#: The trend of a stage is drawn on a canvas of this size.
TREND_WIDTH, TREND_HEIGHT = 92.0, 18.0


class MonitorFilterForm(Body):
    """What the address asks for: one stage, and tests alone or none of them."""

    stage: str | None = None
    test: QueryBool | None = None


@monitor_pages.get("/automations/<automation_id>/monitor")
def show(automation_id: str) -> Any:
    """Where everybody stands."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(MonitorFilterForm)
    monitor_snapshot = snapshot.read((call.workspace_id, automation_id, form.test)) if is_id(automation_id) else None
    if monitor_snapshot is None:
        raise not_found("There is no automation by that id.")
    contacts = [contact for contact in monitor_snapshot["contacts"] if form.stage in (None, contact["stage"])]
    return layout.render("monitor.html", call, found=monitor_snapshot, listed=contacts, chosen=form)


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
    """A line through the points, as SVG has it: the highest at the top, nothing at the bottom."""
    top = max([*points, 1])
    step = TREND_WIDTH / max(1, len(points) - 1)
    return " ".join(
        f"{number * step:.1f},{TREND_HEIGHT - 1 - (TREND_HEIGHT - 2) * point / top:.1f}"
        for number, point in enumerate(points)
    )
