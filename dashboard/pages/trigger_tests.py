"""Test triggers: start an automation with sample contacts or selected ones, then open the monitor.

The executions are tests: whatever is configured, they only go to the sandbox and are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.pages import layout
from models.ids import is_id
from models.reports import contacts as people
from models.reports.automations import AutomationDetail
from models.reports.contacts import ContactFilters
from tasks.intake.triggers import RejectedTrigger, TriggerRequest, TriggerResult, accept

trigger_test_pages = flask.Blueprint("trigger-test-pages", __name__)

#: Maximum number of contacts per test.
MAX_CONTACTS = 100
#: Contacts offered at once.
PAGE_SIZE = 30


def _build_sample(number: int) -> dict[str, Any]:
    """A sample contact, reachable only in the sandbox."""
    return {
        "external_id": f"sample-{number}", "first_name": "Sample", "last_name": f"Person {number}",
        "email": f"sample-{number}@example.com", "phone": f"+1555010{number:04d}", "tags": ["sample"],
    }  # fmt: skip


@trigger_test_pages.get("/automations/<automation_id>/test")
def show(automation_id: str) -> Any:
    """Offer contacts to select, the newest first."""
    call = layout.require_page_permission("trigger")
    return _render_choice(call, require_automation(call.workspace_id, automation_id), [])


@trigger_test_pages.post("/automations/<automation_id>/test")
def start(automation_id: str) -> Any:
    """Start the tests and redirect to the monitor; or search contacts, keeping the selected ones."""
    call = layout.require_page_permission("trigger")
    automation, form = require_automation(call.workspace_id, automation_id), flask.request.form
    contact_ids = [contact_id for contact_id in dict.fromkeys(form.getlist("contactId")) if is_id(contact_id)][
        :MAX_CONTACTS
    ]
    if "find" in form:
        return _render_choice(call, automation, contact_ids)
    if "chosen" in form and not contact_ids:
        return layout.redirect(f"/automations/{automation['id']}/test", "Select at least one contact.", bad=True)
    if not automation["version"]:
        return layout.redirect(
            "/automations", f'"{automation["name"]}" is not published. Publish it before testing.', bad=True
        )
    return _redirect_started(
        automation["id"], accept(call.workspace_id, _build_requests(automation["id"], contact_ids), "test")
    )


def _build_requests(automation_id: str, contact_ids: Sequence[str]) -> list[TriggerRequest]:
    recipients: list[tuple[str | None, dict[str, Any] | None]] = [(contact_id, None) for contact_id in contact_ids]
    if not recipients:
        count_text = flask.request.form.get("sample", "1")
        is_whole = count_text.isascii() and count_text.isdigit() and len(count_text) < 5
        recipients = [
            (None, _build_sample(number))
            for number in range(1, min(MAX_CONTACTS, max(1, int(count_text) if is_whole else 1)) + 1)
        ]
    return [
        TriggerRequest("manual", contact_id, fields, {}, automation_id=automation_id, test=True)
        for contact_id, fields in recipients
    ]


def _redirect_started(automation_id: str, results: Sequence[TriggerResult]) -> Any:
    rejections = [result for result in results if isinstance(result, RejectedTrigger)]
    message = ""
    if rejections:
        reason = rejections[0].problems[0].message if rejections[0].problems else "the trigger was rejected"
        message = f"{len(rejections)} of {len(results)} did not start: {reason}."
    if len(rejections) == len(results):
        return layout.redirect(f"/automations/{automation_id}/test", message, bad=True)
    return layout.redirect(f"/automations/{automation_id}/monitor", message, bad=bool(rejections))


def _render_choice(call: Caller, automation: AutomationDetail, contact_ids: Sequence[str]) -> Any:
    q = flask.request.form.get("q", "").strip()[:200]
    selected = people.list_by_ids(call.workspace_id, contact_ids)
    matching = people.fetch_page(call.workspace_id, ContactFilters(q=q or None), limit=PAGE_SIZE + 1)
    others = [row for row in matching if row["id"] not in contact_ids]
    return layout.render(
        "trigger_test.html", call, automation=automation, selected=selected, others=others[:PAGE_SIZE], q=q,
        more=len(others) > PAGE_SIZE, max_contacts=MAX_CONTACTS,
    )  # fmt: skip
