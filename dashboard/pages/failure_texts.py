"""What the page Failures says about groups and look-ups. Pure: rows and the current time come in as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from dashboard.pages import labels
from models.failure_scope import CONFIGURATION
from models.reports.failures import FailureGroup, UnknownCount, UnknownItem
from providers.registry import SENDERS
from rules.errors import BY_CLASS
from rules.reconciliation import LOOK_UP_SECONDS, count_passed
from rules.retries import MAX_RETRIES

#: The classes, as the filter of the page.
CLASSES = {name: error.label for name, error in BY_CLASS.items()}


@dataclass(frozen=True)
class Retryability:
    """Whether a group is retried automatically, after a fix, or not; with the pill's text and icon, and a line."""

    kind: Literal["automatic", "after_fix", "never"]
    text: str
    icon: str
    line: str


_PILLS = {
    "automatic": ("Automatic", "retry"),
    "after_fix": ("After a fix", "key"),
    "never": ("Not retryable", "minus"),
}


def describe_headline(group: FailureGroup) -> str:
    """What happened, in a few words."""
    error = BY_CLASS.get(group.error_class)
    provider = format_provider(group.provider) or "The provider"
    if error is None:
        return group.error_class
    return error.headline.format(provider=provider) if error.headline else f"{error.label}: {provider}"


def format_provider(provider: str | None) -> str:
    """The provider's label; empty without one."""
    return labels.PROVIDERS.get(provider, provider) if provider else ""


def describe_code(group: FailureGroup) -> str:
    """The class, provider and code, for the chip."""
    return " · ".join((group.error_class, " ".join(filter(None, (format_provider(group.provider), group.code))))).strip(
        " ·"
    )


def describe_remedy(group: FailureGroup, *, is_short: bool) -> str:
    """What to do about a group."""
    error = BY_CLASS.get(group.error_class)
    if error is None:
        return ""
    if group.automatic == group.count and error.retryable:
        return (
            "No action needed." if is_short else "No action needed: each is retried automatically, up to three times."
        )
    text = error.short_remedy if is_short else error.remedy or error.short_remedy
    return text if text.endswith(".") else f"{text}."


def describe_retryability(group: FailureGroup, now: datetime) -> Retryability:
    """Whether a group is retried, and when or after what."""
    error = BY_CLASS.get(group.error_class)
    kind: Literal["automatic", "after_fix", "never"] = (
        "automatic" if group.automatic else error.recovery if error else "after_fix"
    )
    line = _describe_next(group, now) if group.automatic else error.recovery_hint if error else ""
    return Retryability(kind, *_PILLS[kind], line)


def _describe_next(group: FailureGroup, now: datetime) -> str:
    is_due = group.next_at is None or group.next_at <= now
    time = "now" if is_due or group.next_at is None else labels.format_relative_time(group.next_at, now)
    rest = group.count - group.automatic
    suffix = f", {rest:,} need a decision" if rest else ""
    if group.error_class == "rate_limit" and group.lowest_attempt == 1:
        return f"continues {time}{suffix}"
    number = min(group.highest_attempt or 1, MAX_RETRIES)
    is_same = group.lowest_attempt == group.highest_attempt
    return f"{f'retry {number} of {MAX_RETRIES}' if is_same else 'next retry'} {time}{suffix}"


def describe_first_effect(group: FailureGroup, action: str) -> str:
    """What happens first when a group is retried or discarded."""
    if action == "discard":
        return "Discarded executions cannot be retried."
    if group.error_class == CONFIGURATION:
        provider = format_provider(group.provider) or "The provider"
        return f"{provider} is called again now. If it still refuses, they wait again."
    return "Each resumes at its failed step; finished steps are not repeated."


@dataclass(frozen=True)
class LookUpPoint:
    """One scheduled look-up of the messages shown: its title, what came back or when it is due, and its state."""

    title: str
    text: str
    state: Literal["done", "current", "ahead"]


def build_look_up_points(items: Sequence[UnknownItem], now: datetime) -> list[LookUpPoint]:
    """The scheduled look-ups of these messages of one provider, with the answers."""
    points = [_build_point(items, number, now) for number in range(len(LOOK_UP_SECONDS))]
    first_open = next((number for number, point in enumerate(points) if point.state != "done"), None)
    return [
        replace(point, state="ahead") if point.state == "current" and number != first_open else point
        for number, point in enumerate(points)
    ]


def _build_point(items: Sequence[UnknownItem], number: int, now: datetime) -> LookUpPoint:
    title = f"Look-up after {labels.format_duration(LOOK_UP_SECONDS[number])}"
    done = [item for item in items if item["look_ups"] > number]
    if len(done) == len(items):
        return LookUpPoint(title, _describe_answers(items, number), "done")
    due = [item["look_up_at"] for item in items if item["look_ups"] == number and item["look_up_at"]]
    if due:
        time = labels.format_relative_time(min(due), now) if min(due) > now else "now"
        return LookUpPoint(title, f"{len(done)} of {len(items)} done, next {time}" if done else time, "current")
    return LookUpPoint(title, f"{len(done)} of {len(items)} done" if done else "upcoming", "ahead")


def _describe_answers(items: Sequence[UnknownItem], number: int) -> str:
    answers = [find_answer(item, number) for item in items]
    missing = answers.count(None)
    if not missing:
        return "no record"
    return "no answer" if missing == len(answers) else f"no record, {missing} without an answer"


def find_answer(item: UnknownItem, number: int) -> bool | None:
    """What the provider answered to a message's scheduled look-up of this number; None if it did not.

    A repetition of the last look-up counts as the last one.
    """
    sending_at = item["sending_at"]
    answers: list[bool | None] = [
        entry["found"]
        for entry in item["look_up_log"]
        if sending_at is not None and not entry.get("requested") and not entry.get("reported")
        if count_passed(sending_at, datetime.fromisoformat(entry["at"])) == number + 1
    ]
    return answers[-1] if answers else None


def describe_unknown(count: UnknownCount, now: datetime) -> str:
    """Whether a provider's messages are being looked up, or need a decision."""
    parts = []
    if count["count"] > count["undecided"]:
        parts.append(labels.describe_look_up(count["provider"], count["next_at"] or now, now))
    if count["undecided"]:
        parts.append(f"{count['undecided']:,} {'needs' if count['undecided'] == 1 else 'need'} a decision")
    return " · ".join(parts)


def describe_consequence(provider_name: str, *, resends: bool) -> str:
    """What happened to a provider's messages, and what follows; `resends` is the policy where their step has none."""
    provider, sender = format_provider(provider_name), SENDERS[provider_name]
    written = f"The requests were written and no answer came: {provider} may have accepted them."
    if not sender.can_reconcile:
        written = f"{written} {provider} cannot be asked about a message. 35 minutes after the send"
    elif sender.identifies_by_key:
        written = f"{written} If it has no record at the last look-up, 35 minutes after the send,"
    else:
        written = f"{written} Its records can prove that a message was sent, never that it was not. After 35 minutes"
    policy = (
        "each message is sent once more, unless its step says on_unknown: hold."
        if resends
        else "a step with on_unknown: resend sends its message once more; every other message needs a decision."
    )
    return f"{written} {policy}"
