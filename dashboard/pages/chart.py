"""A series as the bars of a small SVG, stacked by kind. Pure. The page shows the same numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.runs import KINDS

#: Size in SVG units; the page scales it.
WIDTH, HEIGHT = 720, 120
_GAP = 2


@dataclass(frozen=True)
class Bar:
    """One part of one bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


def build_bars(series: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The bars of a series: all have the same width, the highest has the full height."""
    max_count = max((point["count"] for point in series), default=0)
    if not max_count:
        return []
    step = WIDTH / len(series)
    bars = []
    for index, point in enumerate(series):
        top = float(HEIGHT)
        for kind in KINDS:
            height = point["kinds"].get(kind, 0) / max_count * (HEIGHT - 1)
            if not height:
                continue
            # A small count stays visible beside a large one.
            height = max(height, 1.5)
            top -= height
            bars.append(Bar(kind, round(index * step, 2), round(top, 2), round(step - _GAP, 2), round(height, 2)))
    return bars
