"""Warns of messages that their channel will refuse: outside Meta's window, a second private reply, no comment.

The rules are those that the engine applies before each send (`rules/direct_messages`), looked at for every path that
leads to the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rules.channels import CHANNELS
from rules.definition_warnings import DefinitionWarning, Fix, build_change, build_removal, build_reply_wait, warn
from rules.direct_messages import MAX_COMMENT_AGE, WINDOW
from rules.source_edits import Edit
from rules.source_tree import Path
from rules.step_walk import Pause, Situation, Span, Visit, Walk

_WINDOW_SECONDS, _COMMENT_SECONDS = WINDOW.total_seconds(), MAX_COMMENT_AGE.total_seconds()
_HOUR_SECONDS = 3_600
#: Triggers whose payload is known, and has no comment.
_WITHOUT_COMMENT = frozenset({"schedule", "contact.inactive"})


def list_delivery_warnings(
    document: Mapping[str, Any], walk: Walk, used: frozenset[str]
) -> Iterator[DefinitionWarning]:
    """Yield the warnings of the steps that reach a contact on Meta's channels; the outputs of `used` are read."""
    checker = _Checker(document, walk, used)
    for visit in walk.visits:
        if visit.before is not None:
            yield from checker.check(visit, visit.before)


class _Checker:
    def __init__(self, document: Mapping[str, Any], walk: Walk, used: frozenset[str]) -> None:
        self.trigger = str(document["trigger"]["type"])
        self.platform, _, self.event = self.trigger.partition(".")
        self.ids = {visit.id for visit in walk.visits}
        self.used = used
        self.is_on_instagram = self.platform == "instagram" or any(
            visit.fields.get("channel") == "instagram" or str(visit.fields.get("event", "")).startswith("instagram.")
            for visit in walk.visits
        )

    def check(self, visit: Visit, before: Situation) -> Iterator[DefinitionWarning]:
        if visit.action == "send_message":
            if visit.fields.get("as") == "private_reply":
                yield from self._check_private_reply(visit, before)
            else:
                yield from self._check_window(visit, before)
        elif visit.action == "reply_comment":
            yield from self._check_comment(visit, "A public reply", "with.channel")
        elif visit.action == "check_follow":
            yield from self._check_follow(visit, before)

    def _check_window(self, visit: Visit, before: Situation) -> Iterator[DefinitionWarning]:
        channel = str(visit.fields["channel"])
        span = before.silence[channel]
        path, name = visit.name_path("with", "channel"), CHANNELS[channel].label
        if span.shortest < _WINDOW_SECONDS:
            if span.longest >= _WINDOW_SECONDS and not visit.guards:
                yield warn(path, _describe_path(name, span.longest), _fix_path(visit, before, span))
        elif self.event == "comment" and math.isinf(span.shortest) and not before.may_be_answered:
            yield warn(
                path,
                f"This message can never be sent: a comment opens no conversation on {name}, so the first message to "
                "a commenter must be a private reply.",
                build_change("Send it as a private reply", "private_reply", *visit.path, "with", "as"),
            )
        elif math.isinf(span.shortest):
            yield warn(
                path,
                f"{name} accepts no message between a private reply and the contact's answer, so this message cannot "
                "be sent.",
                build_reply_wait("Wait for the contact's reply first", visit.path, 1, self.ids),
            )
        else:
            yield warn(path, _describe_window(name, span.shortest), self._fix_window(visit, before, span))

    def _fix_window(self, visit: Visit, before: Situation, span: Span) -> Fix:
        shortened = _shorten_pause(before.pauses, span.shortest - _WINDOW_SECONDS)
        return shortened or build_reply_wait("Wait for the contact's reply first", visit.path, 1, self.ids)

    def _check_private_reply(self, visit: Visit, before: Situation) -> Iterator[DefinitionWarning]:
        comment_problems = list(self._check_comment(visit, "A private reply", "with.channel"))
        yield from comment_problems
        if comment_problems:
            return
        path = visit.name_path("with", "as")
        if before.is_answered or (before.may_be_answered and not visit.guards):
            where = "already has" if before.is_answered else "has, on one path that leads here,"
            yield warn(
                path,
                f"The comment {where} its private reply. Meta accepts one per comment.",
                self._fix_second_reply(visit, before),
            )
        elif before.elapsed.shortest >= _COMMENT_SECONDS:
            yield warn(
                path,
                f"This private reply is sent {_format_time(before.elapsed.shortest)} after the comment. Meta accepts "
                "it within 7 days.",
                _shorten_pause(before.pauses, before.elapsed.shortest - _COMMENT_SECONDS),
            )

    def _fix_second_reply(self, visit: Visit, before: Situation) -> Fix:
        is_open = before.silence[str(visit.fields["channel"])].longest < _WINDOW_SECONDS
        if is_open:
            return build_removal("Send it as a message", *visit.path, "with", "as")
        inner: Path = (*visit.path, "then", 0, "with", "as")
        return build_reply_wait(
            "Wait for the contact's reply, then send it as a message", visit.path, 1, self.ids, Edit("delete", inner)
        )

    def _check_comment(self, visit: Visit, noun: str, field: str) -> Iterator[DefinitionWarning]:
        """Yield a warning for a reply to a comment that the trigger does not have, or that is on another channel."""
        is_meta = self.platform in CHANNELS
        path = visit.name_path(*field.split("."))
        if self.trigger in _WITHOUT_COMMENT or (is_meta and self.event != "comment"):
            yield warn(
                visit.name_path("with", "as") if noun == "A private reply" else visit.name_path("action"),
                f"{noun} needs a comment, and the trigger {self.trigger} has none: it can never be sent.",
                self._fix_missing_comment(visit),
            )
        elif is_meta and visit.fields.get("channel", self.platform) != self.platform:
            label = CHANNELS[self.platform].label
            yield warn(
                path,
                f"{noun} goes to the comment that starts the automation, which is on {label}.",
                build_change(f"Reply on {label}", self.platform, *visit.path, "with", "channel"),
            )

    def _fix_missing_comment(self, visit: Visit) -> Fix | None:
        if visit.action == "send_message":
            return build_removal("Send it as a message", *visit.path, "with", "as")
        return build_removal("Remove the step", *visit.path) if can_remove(visit, self.used) else None

    def _check_follow(self, visit: Visit, before: Situation) -> Iterator[DefinitionWarning]:
        path = visit.name_path("action")
        if not self.is_on_instagram or self.platform == "facebook":
            yield warn(
                path,
                "Only Instagram tells whether a contact follows you, and this automation does not reach the contact "
                "on Instagram: the result is always unknown.",
                build_removal("Remove the step", *visit.path) if can_remove(visit, self.used) else None,
            )
        elif math.isinf(before.silence["instagram"].shortest):
            yield warn(
                path,
                "Instagram tells whether a contact follows you only after the contact has written to you: here the "
                "result is always unknown.",
                build_reply_wait(
                    "Wait for the contact's reply first", visit.path, len(visit.siblings) - visit.index, self.ids
                ),
            )


def can_remove(visit: Visit, used: frozenset[str]) -> bool:
    """Whether the definition stays valid without the step: it has another step, and nothing reads this one."""
    return visit.id not in used and (len(visit.path) > 2 or len(visit.siblings) > 1)


def _describe_path(name: str, seconds: float) -> str:
    if math.isinf(seconds):
        return (
            f"Contacts who have not written to you reach this step too, and {name} refuses the message to them. Send "
            "it where the contact has replied."
        )
    return (
        f"On one path this message is sent {_format_time(seconds)} after the contact's last message. {name} accepts "
        "messages within 24 hours of it."
    )


def _describe_window(name: str, seconds: float) -> str:
    return (
        f"This message is sent {_format_time(seconds)} or more after the contact's last message. {name} accepts "
        "messages within 24 hours of it, so only contacts who write in between get it."
    )


def _fix_path(visit: Visit, before: Situation, span: Span) -> Fix | None:
    moved = _move_into_reply(visit)
    if moved is not None or math.isinf(span.longest):
        return moved
    return _shorten_pause(before.pauses, span.longest - _WINDOW_SECONDS)


def _move_into_reply(visit: Visit) -> Fix | None:
    """The fix where the step before waits for the reply: only those who reply get the message."""
    if not visit.index:
        return None
    wait = visit.siblings[visit.index - 1]
    if wait["action"] != "wait_until" or wait["with"]["event"] != "contact.replied" or "then" in wait["with"]:
        return None
    arm: Path = (*visit.path[:-1], visit.index - 1, "then", len(wait.get("then") or []))
    return Fix("Send it to contacts who reply", (Edit("move", visit.path, to=arm),))


def _shorten_pause(pauses: tuple[Pause, ...], excess: float) -> Fix | None:
    """The fix that shortens the longest wait by the excess and an hour more."""
    if not pauses:
        return None
    longest = max(pauses, key=lambda pause: pause.seconds)
    hours = int((longest.seconds - excess - 1) // _HOUR_SECONDS)
    if hours < 1:
        return None
    duration = f"{hours}h"
    return build_change(f"Wait {_format_time(hours * _HOUR_SECONDS)} instead", duration, *longest.path)


def _format_time(seconds: float) -> str:
    days, hours = seconds / 86_400, seconds / _HOUR_SECONDS
    if days == int(days) and days > 1:
        return f"{int(days)} days"
    return f"{hours:.0f} {'hour' if round(hours) == 1 else 'hours'}"
