"""The experiments of the page of analytics: rates with their intervals drawn on one scale, and the judgement in words.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from dashboard.pages.analytics_texts import format_count, format_rate
from models.reports.analytics_experiments import Experiment, VariantRow

#: Distances of the scale's ticks, in points of percent.
_STEPS = (0.5, 1, 2, 5, 10, 20, 25)
_MAX_TICKS = 5


@dataclass(frozen=True)
class VariantLine:
    """A variant; `low`, `width` and `at` are percent of the scale's width, None without messages."""

    letter: str
    name: str
    sent: str
    delivered: str
    replied: str
    clicked: str
    failed: str
    rate: str
    interval: str
    low: float | None = None
    width: float | None = None
    at: float | None = None


@dataclass(frozen=True)
class ExperimentPanel:
    """An experiment with its judgement."""

    title: str
    page: str
    #: Where the experiment is ended; empty for one that the published version no longer has.
    end_page: str
    note: str
    is_decided: bool
    state: str
    sentence: str
    ticks: list[str]
    variants: list[VariantLine]


@dataclass(frozen=True)
class _Scale:
    """From `low` to `high` in percent; a tick stands in the middle of each step."""

    low: float
    step: float
    count: int

    def place(self, rate: float) -> float:
        return round(100 * (100 * rate - self.low) / (self.step * self.count), 2)

    def list_ticks(self) -> list[str]:
        return [f"{self.low + (number + 0.5) * self.step:g}%" for number in range(self.count)]


def build_experiments(rows: Sequence[Experiment] | None, zone: ZoneInfo) -> list[ExperimentPanel]:
    """The experiments, those with the most messages first."""
    return [_build(row, zone) for row in rows or []]


def _build(row: Experiment, zone: ZoneInfo) -> ExperimentPanel:
    scale = _choose_scale(row["variants"])
    since = f"{row['since'].astimezone(zone):%-d %B}"
    note = f"split in {row['automation_name']}, since {since} · measured by replies within 7 days"
    page = f"/automations/{row['automation_id']}"
    return ExperimentPanel(
        row["step_id"].replace("_", " "), page, build_end_page(row), note, row["is_proven"], _describe_state(row),
        describe(row), scale.list_ticks(),
        [_build_variant(number, variant, scale) for number, variant in enumerate(row["variants"])],
    )  # fmt: skip


def build_end_page(row: Experiment) -> str:
    """The page that ends a running experiment, with its leader selected; empty for one that is over."""
    if not row["is_running"]:
        return ""
    query = {"step": row["step_id"]} | ({"variant": row["leader"]} if row["leader"] else {})
    return f"/automations/{row['automation_id']}/experiment?{urlencode(query)}"


def _describe_state(row: Experiment) -> str:
    if not row["is_running"]:
        return "Ended"
    return f"{row['leader']} leads" if row["is_proven"] else "Not enough yet"


def _build_variant(number: int, row: VariantRow, scale: _Scale) -> VariantLine:
    letter = chr(ord("A") + number % 26)
    texts = (
        letter, row["name"], format_count(row["sent"]), _format_measured(row["delivered"], row["sent"]),
        _format_measured(row["replied"], row["sent"]), _format_measured(row["clicked"], row["sent"]),
        format_count(row["failed"]),
    )  # fmt: skip
    rate, low, high = row["rate"], row["low"], row["high"]
    if rate is None or low is None or high is None:
        return VariantLine(*texts, "–", "no replies to measure" if row["sent"] else "no messages yet")
    interval = f"{100 * low:.1f}–{100 * high:.1f}%"
    start = scale.place(low)
    share = format_rate(rate)
    return VariantLine(
        *texts,
        share if row["answerable"] == row["sent"] else f"{share} of {format_count(row['answerable'])}",
        interval,
        start,
        round(scale.place(high) - start, 2),
        scale.place(rate),
    )


def _format_measured(count: int | None, sent: int) -> str:
    """A count; without messages nothing can be measured yet."""
    if count is None:
        return "not measured" if sent else "–"
    return format_count(count)


def _choose_scale(variants: Sequence[VariantRow]) -> _Scale:
    """The finest scale with few ticks that holds all intervals."""
    lows = [100 * row["low"] for row in variants if row["low"] is not None]
    highs = [100 * row["high"] for row in variants if row["high"] is not None]
    if not lows:
        return _Scale(0, 25, 4)
    for step in _STEPS:
        # Half a step below a tick, so that each tick stands in the middle of its step.
        first = math.floor(min(lows) / step + 0.5) - 0.5
        count = math.ceil(max(highs) / step - first)
        if count <= _MAX_TICKS:
            return _Scale(first * step, step, max(1, count))
    return _Scale(0, 25, 4)


def describe(row: Experiment) -> str:
    """The judgement in words: who leads, whether it is proven, and otherwise how many messages are missing."""
    if row["leader"] is None or row["runner_up"] is None or row["lead"] is None:
        return "Fewer than two variants have messages that can be answered in this period. Nothing can be compared yet."
    lead = f"{row['leader']} leads {row['runner_up']} by {100 * row['lead']:.1f} points"
    if row["is_proven"]:
        return f"{lead}, and its 95% interval lies above all others."
    if not row["is_running"]:
        return f"{lead}, but the 95% intervals overlap."
    if row["more_messages"] is None:
        return f"{row['leader']} and {row['runner_up']} are equal so far: no number of messages can tell them apart."
    days = row["more_days"]
    pace = "" if days is None else f": {days:,} day{'' if days == 1 else 's'} at this pace"
    return (
        f"{lead}, but the 95% intervals overlap. "
        f"To tell them apart takes about {_round(row['more_messages']):,} more messages per variant{pace}."
    )


def _round(count: int) -> int:
    """Two digits: an estimate has no more."""
    size: int = 10 ** max(0, len(str(count)) - 2)
    return math.ceil(count / size) * size
