"""The page that ends an experiment: it says what each variant would make of the workflow, and publishes
the selected one."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.experiments import describe_draft, prepare_ending, publish_ending, require_split
from dashboard.pages import layout
from models.errors import Conflict, InvalidDefinition
from models.reports.automations import AutomationDetail

experiment_pages = flask.Blueprint("experiment-pages", __name__)

#: The largest number of a version: that of an integer column.
_MAX_VERSION = 2**31 - 1


@experiment_pages.get("/automations/<automation_id>/experiment")
def ask(automation_id: str) -> Any:
    """Ask which variant ends the experiment of the step in the query."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    return _render(call, row, flask.request.args.get("step", ""), flask.request.args.get("variant", ""))


@experiment_pages.post("/automations/<automation_id>/experiment")
def end(automation_id: str) -> Any:
    """Publish the version with the steps of the selected variant instead of the split."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    form = flask.request.form
    step_id, variant = form.get("step", ""), form.get("variant", "")
    try:
        publication = publish_ending(call, prepare_ending(row, step_id, variant), _parse_version(form.get("version")))
    except InvalidDefinition as error:
        return _render(call, row, step_id, variant, problems=error.problems), 422
    except Conflict as conflict:
        newest = require_automation(call.workspace_id, automation_id)
        return _render(call, newest, step_id, variant, refusal=conflict.message), 409
    return layout.redirect(
        f"/automations/{row['id']}",
        f'Experiment "{step_id}" ended by variant "{variant}": version {publication.version} published. '
        "Active executions stay on their version.",
    )


def _parse_version(text: str | None) -> int:
    is_number = bool(text and text.isascii() and text.isdigit() and int(text[:12]) <= _MAX_VERSION)
    return int(text or 0) if is_number else -1


def _render(call: Caller, row: AutomationDetail, step_id: str, variant: str, **context: Any) -> flask.Response:
    split = require_split(row, step_id)
    refusal = describe_draft(row) if row["has_draft"] else ""
    return layout.render(
        "end_experiment.html", call, automation=row, split=split, selected=variant,
        **{"refusal": refusal, "problems": [], **context},
    )  # fmt: skip
