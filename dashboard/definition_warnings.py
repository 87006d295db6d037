"""What an author should know of a valid definition. A warning stops no publishing.

These are the warnings of `rules/author_warnings` and those that need the workspace or the providers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dashboard.overlaps import list_overlap_warnings
from providers.registry import SENDERS
from rules.author_warnings import list_author_warnings
from rules.channels import CHANNELS
from rules.definition import parse
from rules.definition_text import TextProblem
from rules.definition_warnings import DefinitionWarning, Fix, build_change, warn
from rules.plan import iter_steps
from rules.step_walk import walk
from rules.validation import validate
from tasks.steps.channels import get_channel


def list_warnings(workspace_id: str, document: Any, automation_id: str | None = None) -> list[TextProblem]:
    """Return the warnings of a valid definition, for this automation or a new one: those of a step have its id in the
    path."""
    overlaps = list_overlap_warnings(workspace_id, document, automation_id)
    located = [TextProblem(overlap.path, overlap.message) for overlap in overlaps]
    return [*located, *list_author_warnings(document), *_iter_resend_warnings(document)]


def find_fix(document: Any, path: str, title: str) -> Fix | None:
    """Return the fix of a warning by the warning's path and the fix's title; None where the document has it no more."""
    if validate(document):
        return None
    warnings = [*list_author_warnings(document), *_iter_resend_warnings(document)]
    fixes = (warning.fix for warning in warnings if warning.path == path)
    return next((fix for fix in fixes if fix is not None and fix.title == title), None)


def _iter_resend_warnings(document: Any) -> Iterator[DefinitionWarning]:
    """Yield the steps whose message is sent again although its provider cannot say that it was not sent."""
    steps = {step.id: step for step in iter_steps(parse(document).steps)}
    for visit in walk(document).visits:
        step = steps[visit.id]
        if step.on_unknown != "resend":
            continue
        sender = SENDERS[CHANNELS[get_channel(step)].provider]
        if not (sender.can_reconcile and sender.identifies_by_key):
            yield warn(
                visit.name_path("on_unknown"),
                f"A message of unknown outcome may be sent twice: {sender.label} cannot tell that it was not sent.",
                build_change("Hold it for a decision", "hold", *visit.path, "on_unknown"),
            )
