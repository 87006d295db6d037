"""What a new automation can start from: one entry in one table for each, the demo's examples and a few more.

An example that is added to the demo stands here by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.demo_examples import EXAMPLES


@dataclass(frozen=True)
class Start:
    """One entry: what it is called, the type of automation, and its definition."""

    name: str
    type: str
    definition: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """Its name in an address."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def actions(self) -> list[str]:
        """The actions of its steps in their order, each once."""
        return list(dict.fromkeys(_actions(self.definition["steps"])))


def _actions(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    found: list[str] = []
    for step in steps:
        found.append(step["action"])
        for inner in (step.get("then"), step.get("else"), *(one.get("steps") for one in step.get("variants") or ())):
            found += _actions(inner or ())
    return found


EMPTY = Start(
    "Empty",
    "workflow",
    {
        "trigger": {"type": "contact.created"},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello!"}}],
    },
)

_ORDER = Start(
    "Another system by webhook",
    "workflow",
    {
        "trigger": {"type": "hook"},
        "steps": [
            {
                "id": "thanks",
                "action": "send_email",
                "with": {
                    "subject": "We have your order",
                    "body": "Hello {{ contact.first_name | default: 'there' }},\n\nthank you for your order.",
                },
            },
            {
                "id": "tell_shop",
                "action": "call_webhook",
                "with": {
                    "url": "https://shop.example/hooks/thanked",
                    "body": {"contact": "{{ contact.id }}", "thanked": True},
                },
            },
        ],
    },
)

STARTS = (*(Start(one.name, one.type, one.definition) for one in EXAMPLES), _ORDER, EMPTY)


def by_slug(slug: str) -> Start | None:
    """The entry with this name in an address."""
    return next((one for one in STARTS if one.slug == slug), None)
