"""The points of small line charts, for SVG in templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The size of a chart in the units of its `viewBox`.
WIDTH, HEIGHT = 68, 24
#: Free space above the highest point, for the width of the line.
_MARGIN = 2


@dataclass(frozen=True)
class Sparkline:
    """A line and the area below it, as points of polygons, and the words that say the same."""

    line: str
    area: str
    words: str


def draw_sparkline(numbers: Sequence[int]) -> Sparkline:
    """Draw numbers from left to right; the highest reaches the top, and 0 is the ground."""
    highest, step = max(numbers) or 1, WIDTH / (len(numbers) - 1)
    points = [
        f"{index * step:.1f},{HEIGHT - _MARGIN / 2 - number / highest * (HEIGHT - 1.5 * _MARGIN):.1f}"
        for index, number in enumerate(numbers)
    ]
    words = f"{sum(numbers):,} in {len(numbers)} minutes, at most {max(numbers):,} in one"
    return Sparkline(" ".join(points), " ".join([f"0,{HEIGHT}", *points, f"{WIDTH},{HEIGHT}"]), words)
