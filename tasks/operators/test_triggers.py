"""Starts tests of an automation: with contacts, or with sample contacts, and with the sample event of its trigger.

Tests only go to the sandbox, so there are none while it is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import clock
from models import published, sample_contact
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.published import PublishedWorkflow
from rules import samples
from rules.trigger_requests import TriggerRequest
from settings import Settings
from tasks.intake.triggers import TriggerResult, accept

PLAYBOOK_NOT_TESTED = (
    "A playbook runs in visitors' browsers, so it cannot be tested here. Open a page that has the script."
)
SANDBOX_OFF = "Tests only go to the sandbox, and BECKON_SANDBOX is off. Turn it on and restart."


@dataclass(frozen=True)
class TestEvent:
    """The event that starts the tests of an automation: its type and its payload."""

    __test__ = False

    type: str
    payload: Mapping[str, Any]


def require_sandbox(settings: Settings) -> None:
    """Raise `Conflict` while the sandbox is off."""
    if settings.sandbox == "off":
        raise Conflict(SANDBOX_OFF)


def find_published(workspace_id: str, automation_id: str) -> PublishedWorkflow:
    """Return the published version of an automation. Raises `NotFound`, and `Conflict` for a playbook."""
    with acting_as(workspace_id):
        workflow = published.find(automation_id)
    if workflow is None:
        raise NotFound("There is no published automation with that id.")
    if workflow.is_playbook:
        raise Conflict(PLAYBOOK_NOT_TESTED)
    return workflow


def choose_event(
    workflow: PublishedWorkflow, type_: str | None = None, payload: Mapping[str, Any] | None = None
) -> TestEvent:
    """Return the event of a test: what is given, and a sample of the rest."""
    event_payload = samples.build_payload(workflow.definition) if payload is None else payload
    return TestEvent(type_ or workflow.trigger_type, event_payload)


def ensure_sample_contacts(workspace_id: str, workflow: PublishedWorkflow, count: int) -> list[str]:
    """Return the ids of the workspace's first `count` sample contacts, which fit the workflow. Raises `Conflict`."""
    return sample_contact.ensure(workspace_id, samples.build_contacts(count, workflow.definition, now=clock.now()))


def start(
    workspace_id: str, workflow: PublishedWorkflow, event: TestEvent, contact_ids: Sequence[str]
) -> list[TriggerResult]:
    """Start one test for each contact. Tests that are rejected have a `RejectedTrigger` at their place."""
    requests = [
        TriggerRequest(event.type, contact_id, None, event.payload, automation_id=workflow.automation_id, test=True)
        for contact_id in contact_ids
    ]
    return accept(workspace_id, requests, "test")
