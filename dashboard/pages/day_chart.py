"""Days as stacked bars of an SVG: succeeded, other, skipped and failed executions. The page has the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.reports.analytics import DayRow

#: The size in SVG units; the page scales it.
WIDTH, HEIGHT = 720, 120
_GAP = 2
#: The parts of a bar, from the ground up.
PARTS = ("succeeded", "other", "skipped", "failed")


@dataclass(frozen=True)
class DayBar:
    """One part of one day's bar."""

    part: str
    x: float
    y: float
    width: float
    height: float


def draw_days(days: Sequence[DayRow]) -> list[DayBar]:
    """Draw the days from left to right: all bars have the same width, the highest has the full height."""
    highest, step = max((day["executions"] for day in days), default=0), WIDTH / max(1, len(days))
    bars = []
    for index, day in enumerate(days):
        top = float(HEIGHT)
        for part, count in _count_parts(day).items():
            if not count:
                continue
            # A small count stays visible beside a large one.
            height = max(1.5, count / highest * (HEIGHT - 4))
            top -= height
            bars.append(DayBar(part, round(index * step, 1), round(top, 1), round(step - _GAP, 1), round(height, 1)))
    return bars


def _count_parts(day: DayRow) -> dict[str, int]:
    other = day["executions"] - day["succeeded"] - day["skipped"] - day["failed"]
    return dict(zip(PARTS, (day["succeeded"], other, day["skipped"], day["failed"]), strict=True))
