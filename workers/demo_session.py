"""The session that `beckon demo` shows: fifteen people ask for a price, and for five of them it is night.

Every execution is a test, so nothing leaves this machine and no counter changes, whatever is configured. The sandbox
delays the AI's answers for the ten others step by step, so that their messages appear one by one.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle, islice
from typing import Any
from zoneinfo import ZoneInfo

from models import automation, contact_matching
from models.audit import SYSTEM
from models.database import acting_as
from models.demo.examples import PRICE_FOLLOW_UP
from models.reports import automations as report
from rules.json_text import dump_json
from settings import Settings
from tasks.intake import triggers

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
#: The payload of each person's question.
QUESTION = {"message": {"id": "rehearsal", "text": "What is the price?"}}
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
        "external_id": f"rehearsal-{number}",
        "first_name": first,
        "last_name": last,
        "facebook_id": f"rehearsal-{number}",
        "timezone": zone,
        "tags": ["rehearsal"],
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


def start_executions(workspace_id: str, automation_id: str, contacts: Sequence[dict[str, Any]]) -> list[str]:
    """Trigger a test of a Facebook message for each contact. Returns the ids of the executions."""
    with acting_as(workspace_id):
        matched = contact_matching.match_or_create(workspace_id, [(None, contact) for contact in contacts])
    requests = [
        triggers.TriggerRequest("facebook.message", row["id"], None, QUESTION, automation_id=automation_id, test=True)
        for row in matched
        if isinstance(row, dict)
    ]
    accepted = [
        result
        for result in triggers.accept(workspace_id, requests, "command")
        if isinstance(result, triggers.AcceptedTrigger)
    ]
    return [execution["executionId"] for result in accepted for execution in result.executions]
