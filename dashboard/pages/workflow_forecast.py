"""The workflow editor's *What would happen*: for a contact or a sample one, with the text as it is in the form.

By the engine's own functions (`tasks/operators/forecasts.py`); nothing is sent or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from dashboard.access import Caller, current_settings
from dashboard.api.automations import require_automation
from dashboard.bodies import BODY_LIMIT
from dashboard.definitions import check_text
from dashboard.pages import labels, layout
from dashboard.pages.editor_labels import describe_action
from dashboard.pages.editor_tree import find_icon
from dashboard.pages.workflow_editor import read_type
from models.ids import is_id, new_id
from models.reports import contacts as people
from models.reports.contacts import ContactFilters
from rules import samples
from rules.actions import ACTIONS
from rules.definition import parse
from tasks.operators.forecasts import Subject, find_answering, forecast

workflow_forecast_pages = flask.Blueprint("workflow-forecast-pages", __name__)

#: Contacts offered beside the sample contact, the newest first.
CONTACTS = 20
#: What may be assumed of a step that depends on the contact: the output, with the words for it. The first is assumed
#: unless another is chosen.
Assumptions = Mapping[str, tuple[Mapping[str, Any], str]]
_OF_AN_EVENT: Assumptions = {
    "else": ({"taken": "else"}, "It times out"),
    "then": ({"taken": "then"}, "It arrives at once"),
}
_OF_A_FOLLOW: Assumptions = {
    "unknown": ({"following": "unknown"}, "Unknown"),
    "true": ({"following": "true"}, "Follows"),
    "false": ({"following": "false"}, "Does not follow"),
}


#: Rules by their names in a forecast, where a skip has another.
_RULES = {"automation_off": "Automation", "reachability": "Reachable"}


@workflow_forecast_pages.post("/automations/workflows/forecast")
def show() -> Any:
    """What would happen now, with the assumptions of the form."""
    flask.request.max_form_memory_size = BODY_LIMIT
    call = layout.require_page_permission("write")
    form = flask.request.form
    checked = check_text(form.get("text", "").replace("\r\n", "\n"), read_type())
    if checked.problems:
        return layout.render("workflow_forecast.html", call, forecast=None, answering=None)
    contacts = people.fetch_page(call.workspace_id, ContactFilters(), limit=CONTACTS)
    contact_id = form.get("forecast_contact", "")
    if not is_id(contact_id) or not people.list_by_ids(call.workspace_id, [contact_id]):
        contact_id = ""
    subject = _build_subject(call, checked.document, checked.automation_type, contact_id)
    result = forecast(current_settings(), subject)
    return layout.render(
        "workflow_forecast.html", call, forecast=result, answering=find_answering(subject), contacts=contacts,
        contact_id=contact_id, list_assumptions=list_assumptions, assumed=_read_assumptions(),
        describe_action=describe_action, find_icon=find_icon, rules=labels.RULES | _RULES,
    )  # fmt: skip


def list_assumptions(name: str) -> Assumptions:
    """What may be assumed of the steps with an action, by the value of the choice; empty for most."""
    action = ACTIONS[name]
    if action.is_wait and action.is_fork:
        return _OF_AN_EVENT
    return _OF_A_FOLLOW if "following" in (action.outputs or ()) else {}


def _build_subject(call: Caller, document: Any, automation_type: str, contact_id: str) -> Subject:
    form = flask.request.form
    automation_id, enabled = form.get("automation", ""), True
    if automation_id:
        # Another workspace's is not there.
        enabled = require_automation(call.workspace_id, automation_id)["enabled"]
    return Subject(
        call.workspace_id, automation_id or new_id(), form.get("name", "").strip()[:200] or "New automation",
        automation_type, enabled, parse(document), samples.build_payload(document),
        contact_id=contact_id or None,
        sample=None if contact_id else samples.build_contacts(1, document)[0],
        assumptions=_list_assumed_outputs(document),
        exclusive=document.get("exclusive", True),
    )  # fmt: skip


def _read_assumptions() -> dict[str, str]:
    """The chosen assumption of each step, by its id."""
    prefix = "assume:"
    return {name.removeprefix(prefix): value for name, value in flask.request.form.items() if name.startswith(prefix)}


def _list_assumed_outputs(document: Any) -> dict[str, Mapping[str, Any]]:
    outputs: dict[str, Mapping[str, Any]] = {}
    assumed = _read_assumptions()
    for step in samples.iter_steps(document["steps"]):
        options = list_assumptions(step["action"])
        if options:
            outputs[step["id"]] = options.get(assumed.get(step["id"], ""), next(iter(options.values())))[0]
    return outputs
