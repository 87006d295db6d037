"""The parts of one demo automation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rules.language import AutomationType


@dataclass(frozen=True)
class Example:
    """One demo automation; `purpose` is its description in the gallery."""

    name: str
    definition: dict[str, Any]
    enabled: bool = True
    type: AutomationType = "workflow"
    purpose: str = ""
