"""The session that `beckon demo` shows: fifteen people ask for a price, and for five of them it is night.

Everything is a test execution, so that nothing leaves this machine and no counter moves, whatever is configured. The
sandbox is asked to let the AI think for a moment about each of the ten, so that one can watch them go by one by one.
"""

from __future__ import annotations

import json
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
from models.demo_examples import PRICE_FOLLOW_UP
from models.reports import automations as report
from settings import Settings
from tasks import triggers

#: The people of the session. The last five live where it is night.
NAMES = (
    "John Doe", "Jane Smith", "Mike Johnson", "Tom Brown", "Lena Fischer", "Noor Haddad", "Ken Watanabe",
    "Ines Duarte", "Olu Adeyemi", "Priya Nair", "Sarah Williams", "Marta Nowak", "Diego Rojas", "Aroha Parata",
    "Li Wei",
)  # fmt: skip
AWAKE = 10
#: Around the world, so that at every moment it is day in some of them and night in others.
ZONES = (
    "Pacific/Auckland", "Australia/Sydney", "Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Dubai",
    "Africa/Nairobi", "Europe/Rome", "Europe/London", "Atlantic/Azores", "America/Sao_Paulo", "America/Halifax",
    "America/New_York", "America/Denver", "America/Los_Angeles", "Pacific/Honolulu",
)  # fmt: skip
#: Local hours that are well inside the automation's active hours, and well outside.
DAY, NIGHT = range(10, 20), (22, 23, 0, 1, 2, 3, 4, 5, 6, 7)
#: What each of them asked.
QUESTION = {"message": {"id": "rehearsal", "text": "What is the price?"}}
#: Seconds by which each text takes longer than the one before.
PACE_SECONDS = 1.0


def people(now: datetime) -> list[dict[str, Any]]:
    """The fifteen, in the words of the database, each in a zone where it is now day, or for the last five night."""
    hours = {zone: now.astimezone(ZoneInfo(zone)).hour for zone in ZONES}
    day = [zone for zone in ZONES if hours[zone] in DAY]
    night = [zone for zone in ZONES if hours[zone] in NIGHT]
    zones = [*islice(cycle(day), AWAKE), *islice(cycle(night), len(NAMES) - AWAKE)]
    return [_person(number, name, zone) for number, (name, zone) in enumerate(zip(NAMES, zones, strict=True), 1)]


def _person(number: int, name: str, zone: str) -> dict[str, Any]:
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
    """The id of the automation that is shown; it is made anew where somebody deleted it."""
    found = report.page(workspace_id, q=PRICE_FOLLOW_UP.name, limit=200)
    known = [one["id"] for one in found if one["name"] == PRICE_FOLLOW_UP.name]
    if known:
        return str(known[0])
    made = automation.create(
        workspace_id, name=PRICE_FOLLOW_UP.name, type=PRICE_FOLLOW_UP.type,
        definition=PRICE_FOLLOW_UP.definition, actor=SYSTEM, enabled=True,
    )  # fmt: skip
    return made.automation_id


def pace(settings: Settings, seconds: float = PACE_SECONDS) -> bool:
    """Have the sandbox's AI take a little longer for each; whether the sandbox could be asked."""
    for number in range(1, AWAKE + 1):
        slow = {"provider": "gemini", "fault": "slow", "times": 1, "seconds": number * seconds}
        asked = urllib.request.Request(
            f"{settings.sandbox_url}/_sandbox/faults", json.dumps(slow).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(asked, timeout=3).close()
        except (OSError, urllib.error.URLError):
            return False
    return True


def begin(workspace_id: str, automation_id: str, everybody: Sequence[dict[str, Any]]) -> list[str]:
    """Let each ask on Facebook, as a test; the ids of the executions."""
    with acting_as(workspace_id):
        known = contact_matching.match(workspace_id, [(None, one) for one in everybody])
    requests = [
        triggers.TriggerRequest("facebook.message", one["id"], None, QUESTION, automation_id=automation_id, test=True)
        for one in known
        if isinstance(one, dict)
    ]
    accepted = [one for one in triggers.accept(workspace_id, requests, "command") if isinstance(one, triggers.Accepted)]
    return [started["executionId"] for one in accepted for started in one.executions]
