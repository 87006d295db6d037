"""The templates of new automations: the demo's examples and a few more, the most common first.

An example that is added to the demo appears here without a change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages.playbook_form import EMPTY as EMPTY_PLAYBOOK
from models.demo.example import Example
from models.demo.examples import EXAMPLES, WELCOME
from models.demo.playbooks import EXIT_OFFER, MOBILE_BUTTON
from rules.language import AutomationType


@dataclass(frozen=True)
class Template:
    """One template: name, type of automation, purpose and definition."""

    name: str
    type: AutomationType
    purpose: str
    definition: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """The name in URLs."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def actions(self) -> list[str]:
        """The distinct actions of its steps, in order."""
        return list(dict.fromkeys(_list_actions(self.definition["steps"])))


def _list_actions(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    actions: list[str] = []
    for step in steps:
        actions.append(step["action"])
        for inner in (
            step.get("then"),
            step.get("else"),
            *(variant.get("steps") for variant in step.get("variants") or ()),
        ):
            actions += _list_actions(inner or ())
    return actions


EMPTY = Template(
    "Empty",
    "workflow",
    "A single step to start from.",
    {
        "trigger": {"type": "contact.created"},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello!"}}],
    },
)

_WEBHOOK = Template(
    "Another system by webhook",
    "workflow",
    "Starts when another system calls the webhook URL, sends an e-mail, and calls that system back.",
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


NEW_PLAYBOOK = Template(
    "New playbook",
    "playbook",
    "Changes your own page for the visitors that you choose: texts, images, styles, banners.",
    EMPTY_PLAYBOOK,
)


def _is_secondary(example: Example) -> bool:
    return example is not WELCOME and not example.definition["trigger"]["type"].startswith("instagram.")


TEMPLATES = (
    *(
        Template(example.name, example.type, example.purpose, example.definition)
        for example in (*sorted(EXAMPLES, key=_is_secondary), MOBILE_BUTTON, EXIT_OFFER)
    ),
    _WEBHOOK,
    EMPTY,
)


def find_template(slug: str) -> Template | None:
    """The template with this slug, or None."""
    return next((template for template in TEMPLATES if template.slug == slug), None)
