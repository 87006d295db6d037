"""The Test Trigger: an automation started by hand, with invented contacts or chosen ones, and watched on the monitor.

Whatever is configured, its executions are tests: they reach the sandbox alone and are counted nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.automations import automation_of
from dashboard.pages import frame
from models.database import Row
from models.ids import is_id
from models.reports import contacts as people
from models.reports.contacts import ContactFilters
from tasks.triggers import Answer, Refused, TriggerRequest, accept

trigger_test_pages = flask.Blueprint("trigger-test-pages", __name__)

#: Contacts that one press of the button starts at most.
MOST = 100
#: Contacts that are offered at once.
OFFERED = 30


def _sample(number: int) -> dict[str, Any]:
    """Whom a test writes to: an invented person, who can only be reached in the sandbox."""
    return {
        "external_id": f"sample-{number}", "first_name": "Sample", "last_name": f"Person {number}",
        "email": f"sample-{number}@example.com", "phone": f"+1555010{number:04d}", "tags": ["sample"],
    }  # fmt: skip


@trigger_test_pages.get("/automations/<automation_id>/test")
def ask(automation_id: str) -> Any:
    """Ask with whom: the newest contacts are offered first."""
    call = frame.visitor("trigger")
    return _offer(call, automation_of(call.workspace_id, automation_id), [])


@trigger_test_pages.post("/automations/<automation_id>/test")
def test(automation_id: str) -> Any:
    """Start the tests and go to the monitor; or look for contacts, keeping those that are chosen."""
    call = frame.visitor("trigger")
    found, form = automation_of(call.workspace_id, automation_id), flask.request.form
    chosen = [one for one in dict.fromkeys(form.getlist("contactId")) if is_id(one)][:MOST]
    if "find" in form:
        return _offer(call, found, chosen)
    if "chosen" in form and not chosen:
        return frame.go(f"/automations/{found['id']}/test", "Choose somebody first.", bad=True)
    if not found["version"]:
        return frame.go(
            "/automations", f'"{found["name"]}" is not published yet, so there is nothing to test.', bad=True
        )
    return _started(found["id"], accept(call.workspace_id, _requests(found["id"], chosen), "test"))


def _requests(automation_id: str, chosen: Sequence[str]) -> list[TriggerRequest]:
    whom: list[tuple[str | None, dict[str, Any] | None]] = [(contact_id, None) for contact_id in chosen]
    if not whom:
        wanted = flask.request.form.get("sample", "1")
        whole = wanted.isascii() and wanted.isdigit() and len(wanted) < 5
        whom = [(None, _sample(number)) for number in range(1, min(MOST, max(1, int(wanted) if whole else 1)) + 1)]
    return [
        TriggerRequest("manual", contact_id, fields, {}, automation_id=automation_id, test=True)
        for contact_id, fields in whom
    ]


def _started(automation_id: str, answers: Sequence[Answer]) -> Any:
    refused = [one for one in answers if isinstance(one, Refused)]
    words = ""
    if refused:
        reason = refused[0].problems[0].message if refused[0].problems else "it was refused"
        words = f"{len(refused)} of {len(answers)} did not start: {reason}."
    if len(refused) == len(answers):
        return frame.go(f"/automations/{automation_id}/test", words, bad=True)
    return frame.go(f"/automations/{automation_id}/monitor", words, bad=bool(refused))


def _offer(call: Caller, found: Row, chosen: Sequence[str]) -> Any:
    q = flask.request.form.get("q", "").strip()[:200]
    kept = people.named(call.workspace_id, chosen)
    matching = people.page(call.workspace_id, ContactFilters(q=q or None), limit=OFFERED + 1)
    others = [one for one in matching if one["id"] not in chosen]
    return frame.render(
        "trigger_test.html", call, automation=found, kept=kept, others=others[:OFFERED], q=q,
        more=len(others) > OFFERED, most=MOST,
    )  # fmt: skip
