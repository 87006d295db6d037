"""The parts of one demo automation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rules.language import AutomationType

#: What an automation of the gallery is for.
Goal = Literal["answer", "welcome", "sell", "win_back", "get_paid", "remind", "reviews", "connect"]


@dataclass(frozen=True)
class Example:
    """One demo automation; `purpose` is its description in the gallery, `goal` its filter there."""

    name: str
    definition: dict[str, Any]
    enabled: bool = True
    type: AutomationType = "workflow"
    purpose: str = ""
    goal: Goal = "answer"
