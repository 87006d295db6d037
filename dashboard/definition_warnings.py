"""What an author should know of a valid definition. A warning stops no publishing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dashboard.overlaps import list_overlap_warnings
from providers.registry import SENDERS
from rules.channels import CHANNELS
from rules.definition import Step, parse
from rules.plan import iter_steps
from rules.problems import Problem
from tasks.steps.channels import get_channel


def list_warnings(workspace_id: str, document: Any, automation_id: str | None = None) -> list[Problem]:
    """Return the warnings of a valid definition, for this automation or a new one: those of a step have its id in the
    path."""
    overlaps = list_overlap_warnings(workspace_id, document, automation_id)
    return [*overlaps, *_iter_resend_warnings(parse(document).steps)]


def _iter_resend_warnings(steps: tuple[Step, ...]) -> Iterator[Problem]:
    """Yield the steps whose message is sent again although its provider cannot say that it was not sent."""
    for step in iter_steps(steps):
        if step.on_unknown != "resend":
            continue
        sender = SENDERS[CHANNELS[get_channel(step)].provider]
        if not (sender.can_reconcile and sender.identifies_by_key):
            yield Problem(
                f"steps.{step.id}.on_unknown",
                f"A message of unknown outcome may be sent twice: {sender.label} cannot tell that it was not sent.",
            )
