"""The session that `beckon demo` shows: fifteen people ask for a price, and for five of them it is night.

The executions are ordinary ones of invented contacts: they count, and pages mark them as *demo*. The demo workspace
sends to the sandbox where it has no credentials; where it has some, the executions are tests, so that no message
leaves this machine. The sandbox delays the AI's answers for the ten others step by step, so that their messages appear
one by one.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle, islice
from typing import Any
from zoneinfo import ZoneInfo

from models import automation, sample_contact
from models.audit import SYSTEM
from models.demo.examples import PRICE_FOLLOW_UP
from models.reports import automations as report
from rules.json_text import dump_json
from rules.trigger_requests import TriggerRequest
from settings import Settings
from tasks.intake import triggers
from tasks.steps import accounts
from tasks.steps.workspace_settings import resolve_workspace_settings

#: The people of the session. The last five live where it is night.
NAMES = (
    "John Doe", "Jane Smith", "Mike Johnson", "Tom Brown", "Lena Fischer", "Noor Haddad", "Ken Watanabe",
    "Ines Duarte", "Olu Adeyemi", "Priya Nair", "Sarah Williams", "Marta Nowak", "Diego Rojas", "Aroha Parata",
    "Li Wei",
)  # fmt: skip
DAYTIME_COUNT = 10
#: Zones around the world: at every moment it is day in some of them and night in others.
ZONES = (
    "Pacific/Auckland", "Australia/Sydney", "Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Dubai",
    "Africa/Nairobi", "Europe/Rome", "Europe/London", "Atlantic/Azores", "America/Sao_Paulo", "America/Halifax",
    "America/New_York", "America/Denver", "America/Los_Angeles", "Pacific/Honolulu",
)  # fmt: skip
#: Local hours well inside the automation's active hours, and well outside.
DAY_HOURS, NIGHT_HOURS = range(10, 20), (22, 23, 0, 1, 2, 3, 4, 5, 6, 7)
#: The channel of the automation.
CHANNEL = "facebook"
#: The payload of each person's question.
QUESTION = {"message": {"id": "demo", "text": "What is the price?"}}
#: Seconds by which each generated text takes longer than the one before.
DELAY_STEP_SECONDS = 1.0


def build_contacts(now: datetime) -> list[dict[str, Any]]:
    """Build the fifteen contacts as database fields, in zones where it is now day, or night for the last five."""
    hours = {zone: now.astimezone(ZoneInfo(zone)).hour for zone in ZONES}
    day = [zone for zone in ZONES if hours[zone] in DAY_HOURS]
    night = [zone for zone in ZONES if hours[zone] in NIGHT_HOURS]
    zones = [*islice(cycle(day), DAYTIME_COUNT), *islice(cycle(night), len(NAMES) - DAYTIME_COUNT)]
    return [_build_contact(number, name, zone) for number, (name, zone) in enumerate(zip(NAMES, zones, strict=True), 1)]


def _build_contact(number: int, name: str, zone: str) -> dict[str, Any]:
    first, last = name.split(" ", 1)
    return {
        "external_id": f"demo-session-{number}",
        "first_name": first,
        "last_name": last,
        "facebook_id": f"demo-session-{number}",
        "timezone": zone,
        "tags": ["demo"],
    }


def find_automation(workspace_id: str) -> str:
    """Return the id of the demo's automation, and create the automation again if it was deleted."""
    rows = report.fetch_page(workspace_id, q=PRICE_FOLLOW_UP.name, limit=200)
    ids = [row["id"] for row in rows if row["name"] == PRICE_FOLLOW_UP.name]
    if ids:
        return ids[0]
    publication = automation.create(
        workspace_id, name=PRICE_FOLLOW_UP.name, type=PRICE_FOLLOW_UP.type,
        definition=PRICE_FOLLOW_UP.definition, actor=SYSTEM, enabled=True,
    )  # fmt: skip
    return publication.automation_id


def set_generation_delays(settings: Settings, seconds: float = DELAY_STEP_SECONDS) -> bool:
    """Make the sandbox's AI take longer for each text. Returns False if the sandbox does not answer."""
    for number in range(1, DAYTIME_COUNT + 1):
        fault = {"provider": "gemini", "fault": "slow", "times": 1, "seconds": number * seconds}
        request = urllib.request.Request(
            f"{settings.sandbox_url}/_sandbox/faults", dump_json(fault).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=3).close()
        except (OSError, urllib.error.URLError):
            return False
    return True


def uses_sandbox(settings: Settings, workspace_id: str) -> bool:
    """Whether the workspace has no credentials for the automation's channel, so that its messages go to the sandbox."""
    own_settings = resolve_workspace_settings(settings, workspace_id, fresh=True)
    has_token = bool(accounts.list_own_tokens(CHANNEL, workspace_id))
    return not has_token and bool(accounts.find_missing_secrets(own_settings, CHANNEL))


def start_executions(
    workspace_id: str, automation_id: str, contacts: Sequence[dict[str, Any]], *, test: bool
) -> list[str]:
    """Trigger a Facebook message of each contact, as a test or not. Returns the ids of the executions."""
    requests = [
        TriggerRequest(
            "facebook.message", contact_id, None, QUESTION, automation_id=automation_id, test=test, demo=not test
        )
        for contact_id in sample_contact.ensure(workspace_id, contacts)
    ]
    accepted = [
        result
        for result in triggers.accept(workspace_id, requests, "command")
        if isinstance(result, triggers.AcceptedTrigger)
    ]
    return [execution["executionId"] for result in accepted for execution in result.executions]
