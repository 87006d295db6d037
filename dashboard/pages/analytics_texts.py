"""The words of the page of analytics: changes against the earlier period, rates, and what a chart shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rules.durations import format_duration

Tone = Literal["good", "bad", "plain"]
#: Which direction is an improvement; None where neither is.
Better = Literal["up", "down"] | None

#: Whether more executions of an outcome are an improvement; of the others neither is.
_BETTER: dict[str | None, Better] = {
    None: "up", "succeeded": "up", "failed": "down", "timed_out": "down", "unknown": "down",
}  # fmt: skip
_ARROWS = {1: "▲", -1: "▼", 0: ""}
_SPOKEN = {1: "up", -1: "down", 0: "unchanged,"}


@dataclass(frozen=True)
class Change:
    """A change against the earlier period: its arrow, its size, what a screen reader says, and whether it is good."""

    arrow: str
    text: str
    spoken: str
    tone: Tone


def compare_amounts(current: float | None, before: float | None, better: Better = "up") -> Change | None:
    """The change of a count or a duration in percent; None where there is nothing to compare with."""
    if current is None or not before:
        return None
    percent = round(100 * (current - before) / before)
    text = f"{abs(percent):,}%"
    return _build(percent, text, better)


def compare_rates(current: float | None, before: float | None, better: Better = "up") -> Change | None:
    """The change of a rate in points of percent; None where one is missing."""
    if current is None or before is None:
        return None
    tenths = round(1000 * current) - round(1000 * before)
    return _build(tenths, f"{abs(tenths) / 10:.1f} pt", better)


def find_better(status: str | None) -> Better:
    """Whether more executions of a status (None: of all) are an improvement."""
    return _BETTER.get(status)


def _build(size: int, text: str, better: Better) -> Change:
    sign = (size > 0) - (size < 0)
    tone: Tone = "plain" if not sign or better is None else "good" if (sign > 0) == (better == "up") else "bad"
    return Change(_ARROWS[sign], text, _SPOKEN[sign], tone)


def format_count(count: int) -> str:
    """`12,345`."""
    return f"{count:,}"


def format_rate(rate: float | None) -> str:
    """`98.5%`; a rate close to all or nothing is not rounded to it. `–` without one."""
    if rate is None:
        return "–"
    if 0.9995 <= rate < 1:
        return "> 99.9%"
    if 0 < rate < 0.0005:
        return "< 0.1%"
    return f"{rate:.1%}"


def format_milliseconds(milliseconds: int | None) -> str:
    """A duration; `–` without one."""
    return "–" if milliseconds is None else format_duration(milliseconds / 1000)


def describe_counts(labels: Sequence[str], totals: Sequence[int], unit: str) -> str:
    """What a chart of counts shows, for screen readers: its highest and lowest bucket, and its total."""
    length = f"{len(totals)} {unit}{'' if len(totals) == 1 else 's'}"
    if not any(totals):
        return f"No executions in {length}."
    most, least = totals.index(max(totals)), totals.index(min(totals))
    return (
        f"{sum(totals):,} executions in {length}. Most on {labels[most]}: {totals[most]:,}. "
        f"Fewest on {labels[least]}: {totals[least]:,}."
    )


def describe_times(labels: Sequence[str], slow: Sequence[int | None], p50: int | None, p95: int | None) -> str:
    """What the chart of durations shows, for screen readers: both percentiles, and the slowest bucket."""
    measured = [(value, label) for value, label in zip(slow, labels, strict=True) if value is not None]
    if not measured:
        return "No execution has succeeded in this period, so there are no times."
    value, label = max(measured)
    return (
        f"Half of the executions took at most {format_milliseconds(p50)}, and 95% at most {format_milliseconds(p95)}. "
        f"Slowest on {label}: {format_milliseconds(value)}."
    )
