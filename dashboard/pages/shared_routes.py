"""Routes and template filters that belong to no single page: the summary bar, the theme, and ending pauses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import flask

from dashboard import csrf
from dashboard.access import COOKIE, current_settings, find_session
from dashboard.errors import not_found
from dashboard.pages import counts, labels, layout
from models import pause
from models.database import acting_as
from tasks.operators import actions as operator_actions

shared_pages = flask.Blueprint("shared-pages", __name__)


@shared_pages.get("/summary")
def show_summary() -> Any:
    """The summary bar, which every page refreshes."""
    call = layout.require_page_permission()
    return layout.render("summary.html", call, is_refresh=layout.is_fragment())


@shared_pages.post("/pauses/<any(provider, queue):kind>/<name>/end")
def end_pause(kind: str, name: str) -> Any:
    """End a pause that the summary bar shows."""
    call = layout.require_page_permission("write")
    with acting_as(call.workspace_id):
        pauses = {(row["kind"], row["name"]) for row in pause.list_all(call.workspace_id)}
    if (kind, name) not in pauses:
        raise not_found("This pause has already ended.")
    resumed = operator_actions.resume(kind, name, call.workspace_id, call.actor)
    outcome = (
        f"{resumed} execution{' continues' if resumed == 1 else 's continue'}" if resumed else "nothing was waiting"
    )
    title = labels.PROVIDERS.get(name, name) if kind == "provider" else f"Queue {name}"
    return layout.redirect(layout.read_next_path("/executions"), f"{title} resumed: {outcome}.")


@shared_pages.post("/theme")
def switch_theme() -> Any:
    """Select the light, the dark or the system theme."""
    if find_session() is not None:
        csrf.check(current_settings().secret_key, flask.request.cookies[COOKIE], current_settings().url)
    response = layout.redirect(layout.read_next_path("/"))
    layout.remember_theme(response, flask.request.form.get("theme", ""))
    return response


@shared_pages.app_context_processor
def provide_theme() -> dict[str, Any]:
    """The theme, in every template."""
    return {"theme": layout.read_theme()}


shared_pages.add_app_template_global(counts.build_path, "count_path")
shared_pages.add_app_template_global(counts.build_held_path, "held_path")


@shared_pages.app_template_filter("exact")
def format_exact(moment: datetime, zone: ZoneInfo) -> str:
    """The moment with its zone: `2026-11-21 14:02:11.204 Europe/Rome`."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {zone.key}"


@shared_pages.app_template_filter("clock")
def format_clock_time(moment: datetime, zone: ZoneInfo) -> str:
    """The time of day to the millisecond: `14:02:11.204`."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
