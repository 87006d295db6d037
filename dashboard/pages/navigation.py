"""The places of the navigation, in their order. A page adds its row here; the layout renders it everywhere.

A badge counts what needs a person. It is computed from what the summary bar has read already, or by a cheap cached
read: every page and every refresh of the summary bar computes all badges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.access import Caller, Permission, current_settings
from models import possible_opt_out
from models.reports import failures
from tasks.health.measurement import read_last


@dataclass(frozen=True)
class Badge:
    """What a place counts: `count(caller, summary)`, with the words behind the number for screen readers."""

    count: Callable[[Caller, Mapping[str, Any]], int]
    text: str


@dataclass(frozen=True)
class Place:
    """A page of the navigation. `section` is what its templates set; `on_bar` places it on a phone's bottom bar."""

    section: str
    label: str
    path: str
    icon: str
    on_bar: bool = False
    badge: Badge | None = None
    #: Who sees it.
    permission: Permission = "read"


#: In the design's order: Overview, Automations, Executions, Failures, Analytics, Contacts, Queues, Health, Settings,
#: Audit log. Overview, Automations, Executions, Failures and Health are on the bar.
PLACES = (
    Place("overview", "Overview", "/overview", "home", on_bar=True),
    Place("automations", "Automations", "/automations", "branch", on_bar=True),
    Place("executions", "Executions", "/executions", "list", on_bar=True),
    Place(
        "failures",
        "Failures",
        "/failures",
        "warning",
        on_bar=True,
        badge=Badge(
            lambda caller, bar: failures.count_decisions(caller.workspace_id) + bar["counts"].undecided,
            "need a decision",
        ),
    ),
    Place("analytics", "Analytics", "/analytics", "bars"),
    Place(
        "contacts",
        "Contacts",
        "/contacts",
        "contacts",
        badge=Badge(lambda caller, _: possible_opt_out.count_open(caller.workspace_id), "possible opt-outs"),
    ),
    Place("queues", "Queues", "/queues", "stack"),
    Place(
        "health",
        "Health",
        "/health",
        "pulse",
        on_bar=True,
        badge=Badge(lambda call, _: count_health_problems(call), "problems"),
    ),
    Place("settings", "Settings", "/settings", "settings"),
    Place("audit", "Audit log", "/audit", "audit", permission="admin"),
)


def count_health_problems(call: Caller) -> int:
    """Count the problems of Health that need a person; what an operator has paused does not."""
    health = read_last(current_settings(), call.workspace_id, deployment_owner=call.deployment_owner)
    return health.urgent if health else 0


def assign_keys() -> dict[str, str]:
    """Return the key that opens each place after `g`, by section: the first letter of its label that is still free."""
    keys: dict[str, str] = {}
    for place in PLACES:
        letters = (letter for letter in place.label.lower() if letter.isalpha() and letter not in keys.values())
        keys[place.section] = next(letters)
    return keys


def list_places(caller: Caller) -> list[Place]:
    """Return the places that the caller may open."""
    return [place for place in PLACES if place.permission in caller.permissions]


def count_badges(caller: Caller, summary: Mapping[str, Any]) -> dict[str, int]:
    """Return what each badge counts, by section; places without a badge are left out."""
    return {place.section: place.badge.count(caller, summary) for place in PLACES if place.badge}
