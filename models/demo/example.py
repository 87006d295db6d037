"""What one automation of the demo is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """One automation of the demo: its name, its definition, whether it is switched on, its type, and what it does in
    words."""

    name: str
    definition: dict[str, Any]
    enabled: bool = True
    type: str = "workflow"
    purpose: str = ""
