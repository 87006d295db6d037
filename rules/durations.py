"""Durations in words, the same on every page, in every problem and on the command line."""

from __future__ import annotations

_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def format_duration(seconds: float) -> str:
    """`27 ms`, `2.5 s`, `40 s`, `2 min 40 s`, `3 h 5 min`, `2 d 4 h`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for size, unit, smaller, smaller_unit in _UNITS:
        if seconds >= size:
            rest = int(seconds % size) // smaller
            return f"{int(seconds) // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{int(seconds)} s"


def format_rough_duration(seconds: float) -> str:
    """A duration in its largest unit, for ages in lists: `now`, `40 s`, `3 min`, `2 h`, `5 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds) // size} {unit}"
    return f"{int(seconds)} s" if seconds >= 1 else "now"
