"""One automation: its counts, its runs as a chart and a list, and its versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller, current_settings
from dashboard.api.automations import require_automation
from dashboard.api.runs import DEFAULT_SPAN, RunPage, fetch_run_page
from dashboard.definitions import find_problems
from dashboard.live.counts import format_rate
from dashboard.pages import layout
from dashboard.pages.chart import HEIGHT, WIDTH, build_bars
from dashboard.pages.path import build_steps
from dashboard.pages.tracked_executions import build_line
from models.reports import automations, runs, tracked_executions
from models.reports.automations import AutomationDetail
from models.reports.runs import Interval
from models.reports.tracked_executions import TrackedFilters
from rules.language import PLAYBOOK
from rules.outbound_urls import ALL_NETWORKS
from rules.playbooks import build_frequency
from rules.problems import Problem
from tasks.operators import switches

automation_detail_pages = flask.Blueprint("automation-detail-pages", __name__)

#: Runs on one page.
PAGE_SIZE = 30
#: The newest executions on the page of a playbook.
PLAYBOOK_EXECUTIONS = 15


class RunFilterForm(RunPage):
    """The filter of the runs, and the interval of the chart."""

    by: Interval = "day"


@automation_detail_pages.get("/automations/<automation_id>")
def show(automation_id: str) -> Any:
    """The page."""
    call = layout.require_page_permission()
    automation = require_automation(call.workspace_id, automation_id)
    if automation["type"] == PLAYBOOK:
        return _show_playbook(call, automation)
    form, params = layout.parse_query(RunFilterForm)
    return layout.render(
        "automation.html",
        call,
        automation=automation,
        filters=form,
        steps=build_steps(automation["definition"]),
        unknown=automations.fetch_card_data(call.workspace_id, [automation["id"]])[automation["id"]]["unknown"],
        **_load_runs(call, automation, form, params),
    )


def _show_playbook(call: Caller, automation: AutomationDetail) -> Any:
    """The page of a playbook: its conditions and actions, and what browsers executed lately."""
    problems = _find_playbook_problems(automation)
    definition = None if problems else automation["definition"]
    newest = tracked_executions.fetch_page(
        call.workspace_id, TrackedFilters(automation_id=automation["id"]), PLAYBOOK_EXECUTIONS
    )
    finished = automation["succeeded"] + automation["failed"]
    context = {
        "automation": automation,
        "executions": [build_line(row) for row in newest],
        "success_rate": format_rate(automation["succeeded"] / finished) if finished else "–",
    }
    if layout.is_fragment():
        return layout.render("playbook_executions.html", call, **context)
    return layout.render(
        "playbook.html",
        call,
        definition=definition,
        problems=problems,
        steps=build_steps(definition),
        frequency=build_frequency(definition) if definition else None,
        tracked=switches.is_on(current_settings(), call.workspace_id, "execution_tracking"),
        **context,
    )


def _find_playbook_problems(automation: AutomationDetail) -> list[Problem]:
    """Why pages do not get the published version: it is from before a rule."""
    definition = automation["definition"]
    return [] if definition is None else find_problems(definition, PLAYBOOK, networks=ALL_NETWORKS, is_bounded=False)


def _load_runs(
    call: Caller, automation: AutomationDetail, form: RunFilterForm, params: dict[str, str]
) -> dict[str, Any]:
    automation_id, until = automation["id"], clock.now()
    series = runs.fetch_series(
        call.workspace_id, automation_id, form.by, until - DEFAULT_SPAN[form.by], until, form.kind
    )  # fmt: skip
    rows, cursor = fetch_run_page(call.workspace_id, automation_id, form, PAGE_SIZE)
    day = runs.fetch_last_day(call.workspace_id, [automation_id])[automation_id]

    def build_address(**changed: str) -> str:
        query = {name: text for name, text in {**params, "cursor": "", **changed}.items() if text}
        return f"/automations/{automation_id}" + (f"?{urlencode(query)}" if query else "")

    return {
        "series": series,
        "bars": build_bars(series),
        "width": WIDTH,
        "height": HEIGHT,
        "runs": rows,
        "day": day,
        "address": build_address,
        "older": cursor and build_address(cursor=cursor),
        "newest": form.cursor and build_address(),
        "tracked": switches.is_on(current_settings(), call.workspace_id, "run_tracking"),
    }
