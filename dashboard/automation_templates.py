"""The templates of new automations: the demo's examples and more, the most common first, with their channels and goals.

An example that is added to the demo appears here without a change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.demo.example import Example, Goal
from models.demo.examples import EXAMPLES, WELCOME
from models.demo.playbooks import EXIT_OFFER, MOBILE_BUTTON
from models.demo.ready_made import READY_MADE
from rules import channels
from rules.actions import ACTIONS
from rules.language import PAGE_TRIGGER, AutomationType
from rules.samples import iter_steps

#: The filters by goal, in their order.
GOALS: dict[Goal, str] = {
    "answer": "Answer", "welcome": "Welcome", "sell": "Sell", "win_back": "Win back", "get_paid": "Get paid",
    "remind": "Remind", "reviews": "Reviews", "connect": "Connect",
}  # fmt: skip
#: The filters by channel, in their order.
CHANNELS = {channel.name: channel.label for channel in channels.CHANNELS.values()} | {PAGE_TRIGGER: "Web page"}


@dataclass(frozen=True)
class Template:
    """One template: name, type of automation, purpose and definition."""

    name: str
    type: AutomationType
    purpose: str
    definition: Mapping[str, Any]
    goal: Goal = "connect"

    @property
    def slug(self) -> str:
        """The name in URLs."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def channels(self) -> list[str]:
        """The channels that it uses, in the order of `CHANNELS`."""
        family = str(self.definition["trigger"]["type"]).partition(".")[0]
        used = {family if family != "hook" else "webhook", *map(_find_channel, iter_steps(self.definition["steps"]))}
        return [channel for channel in CHANNELS if channel in used]

    @property
    def step_count(self) -> int:
        """The number of its steps, those of every path included."""
        return sum(1 for _ in iter_steps(self.definition["steps"]))

    def matches(self, channel: str, goal: str, words: Sequence[str]) -> bool:
        """Whether it passes the filters: each word begins some word of its name, purpose or channels."""
        if (channel and channel not in self.channels) or (goal and goal != self.goal):
            return False
        labels = [CHANNELS[name] for name in self.channels]
        own = split_words(" ".join((self.name, self.purpose, GOALS[self.goal], *labels)))
        return all(any(part.startswith(word) for part in own) for word in words)


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[^\W_]+", text.casefold())


def _find_channel(step: Mapping[str, Any]) -> str | None:
    action = ACTIONS[step["action"]]
    return action.channel or action.call_channel or step.get("with", {}).get("channel")


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


def _is_secondary(example: Example) -> bool:
    return example is not WELCOME and not example.definition["trigger"]["type"].startswith("instagram.")


TEMPLATES = (
    *(
        Template(example.name, example.type, example.purpose, example.definition, example.goal)
        for example in (*sorted(EXAMPLES, key=_is_secondary), *READY_MADE, MOBILE_BUTTON, EXIT_OFFER)
    ),
    _WEBHOOK,
    EMPTY,
)


def find_template(slug: str) -> Template | None:
    """The template with this slug, or None."""
    return next((template for template in TEMPLATES if template.slug == slug), None)


def count_by_channel(current: str | None) -> list[tuple[str, str, int]]:
    """The channels to filter by: name, label, and the number of templates; those of systems only while filtered by."""
    counts = {channel: sum(channel in template.channels for template in TEMPLATES) for channel in CHANNELS}
    return [
        (channel, CHANNELS[channel], count)
        for channel, count in counts.items()
        if channel in (*channels.CONTACT_CHANNELS, PAGE_TRIGGER, current)
    ]
