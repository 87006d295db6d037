"""The test runner: its panel on the Health page and a page for each run, which follow the steps as they come."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import flask

from dashboard.access import Caller, current_settings
from dashboard.api.test_runs import require_test_run
from dashboard.pages import layout
from models import test_run
from models.errors import Conflict
from models.test_run import TestRunRow
from tasks.operators import test_runs as task
from tasks.test_run_sweep import build_steps

test_run_pages = flask.Blueprint("test-run-pages", __name__)


@test_run_pages.post("/test-runs")
def start() -> Any:
    """Start a test run and open its page; while another one runs, open that one's."""
    call = layout.require_page_permission("write")
    try:
        run_id = task.start(current_settings(), call.workspace_id, call.actor)
    except Conflict as error:
        running = [row["id"] for row in test_run.list_newest(call.workspace_id, 1) if row["status"] == "running"]
        if not running:
            return layout.redirect("/health", error.message, bad=True)
        return layout.redirect(layout.read_next_path(f"/test-runs/{running[0]}"))
    task.enqueue(run_id)
    return layout.redirect(layout.read_next_path(f"/test-runs/{run_id}"))


@test_run_pages.get("/test-runs/<run_id>")
def show(run_id: str) -> Any:
    """One run. The panel refreshes itself while it runs."""
    call = layout.require_page_permission()
    run = require_test_run(call, run_id)
    template = "test_runner.html" if layout.is_fragment() else "test_run.html"
    return layout.render(template, call, **build_panel(call, run))


@test_run_pages.post("/test-runs/<run_id>/cancel")
def cancel(run_id: str) -> Any:
    """Ask the run to end; its data is removed."""
    call = layout.require_page_permission("write")
    run = require_test_run(call, run_id)
    path = layout.read_next_path(f"/test-runs/{run['id']}")
    try:
        test_run.request_cancel(call.workspace_id, run["id"], call.actor)
    except Conflict as error:
        return layout.redirect(path, error.message, bad=True)
    return layout.redirect(path, "The test run is being cancelled. Its data is removed.")


def build_panel(call: Caller, run: TestRunRow | None = None) -> dict[str, Any]:
    """The context of the panel: a run, by default the newest, and the last one that ended before it."""
    newest = test_run.list_newest(call.workspace_id, 2)
    current = run or (newest[0] if newest else None)
    steps = (current and current["steps"]) or build_steps()
    last = next((row for row in newest if current is None or row["id"] != current["id"]), None)
    return {
        "test_run": current,
        "test_steps": steps,
        "steps_done": sum(step["status"] not in ("upcoming", "running") for step in steps),
        "runner_back": _read_place(),
        "last_test_run": last if last and last["finished_at"] else None,
    }


def _read_place() -> str:
    """The Health page, where the panel is part of it; else empty, for the page of the run."""
    address = flask.request.headers.get("HX-Current-URL", "") if layout.is_fragment() else flask.request.path
    return "/health" if urlsplit(address).path == "/health" else ""
