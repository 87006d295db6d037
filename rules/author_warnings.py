"""Collects the warnings of a definition that need no facts of its workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.definition_warnings import DefinitionWarning
from rules.delivery_warnings import list_delivery_warnings
from rules.idle_warnings import list_idle_warnings
from rules.language import PAGE_TRIGGER
from rules.limit_warnings import list_limit_warnings
from rules.step_walk import walk
from rules.text_warnings import list_text_warnings
from rules.variable_warnings import list_used_steps, list_variable_warnings


def list_author_warnings(document: Mapping[str, Any]) -> list[DefinitionWarning]:
    """Return the warnings of a valid definition, trigger and rules first; a playbook has none."""
    trigger = str(document["trigger"]["type"])
    if trigger == PAGE_TRIGGER:
        return []
    steps = walk(document)
    used = list_used_steps(document, steps)
    return [
        *list_limit_warnings(document, steps),
        *list_delivery_warnings(document, steps, used),
        *list_text_warnings(steps, trigger.partition(".")[0]),
        *list_variable_warnings(document, steps),
        *list_idle_warnings(document, steps, used),
    ]
